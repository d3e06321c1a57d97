/* jinja_functions.h - what filters and methods of the Jinja interpreter share. */
#ifndef JINJA_FUNCTIONS_H
#define JINJA_FUNCTIONS_H

#include "jinja_internal.h"

const jn_function *jn_find(const jn_function *table, const char *name, size_t size);

/* Arguments of a kind; others fail. */
jn_value jn_text_argument(jn_context *c, const jn_arguments *a, int i);
int64_t jn_int_argument(jn_context *c, const jn_arguments *a, int i, int64_t otherwise);
int jn_flag_argument(const jn_arguments *a, int i);

/* Of texts. */
unsigned long jn_letter(jn_context *c, unsigned long code_point, int capital);
jn_value jn_change_case(jn_context *c, jn_value s, int capital);
int jn_is_case(jn_context *c, jn_value s, int capital);
jn_value jn_strip(jn_context *c, jn_value s, const jn_value *chars, int left, int right);
jn_value jn_replace(jn_context *c, jn_value s, jn_value old, jn_value by, int64_t most);
jn_value jn_split_lines(jn_context *c, jn_value s);

jn_value jn_reversed(jn_context *c, jn_value v, jn_type type);      /* a list or generator of that */
jn_value jn_dict_items(jn_context *c, jn_value dict, jn_type type); /* (key, value) tuples */

#endif
