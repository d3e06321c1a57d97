/* request.c - contract in request.h. */
#include "request.h"
#include "../shared/messages.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int request_no_memory(llama_error *err) { return set_error(err, "no memory"); }

static int request_expected(const char *key, const json_node *value, const char *what, llama_error *err) {
    return set_error(err, "\"%.60s\" is %s: expected %s", key, json_type_name(value), what);
}

char *request_id(const json_node *object, uint64_t number, llama_error *err) {
    const json_node *id = json_get(object, "id");
    json_out out = {NULL, 0, 0, 0};
    if (id && id->type == JSON_STRING) {
        if (id->size > REQUEST_LONGEST_ID)
            return set_error(err, "\"id\" has %lu bytes: expected %d at most", (unsigned long)id->size,
                             REQUEST_LONGEST_ID),
                   NULL;
        json_put_string(&out, id->text, id->size);
    } else if (id && !json_whole(id, &number)) {
        return request_expected("id", id, "a string or a whole number from 0 to 2^53 - 1", err), NULL;
    } else {
        json_put(&out, "%llu", (unsigned long long)number);
    }
    if (out.failed) request_no_memory(err), json_out_free(&out);
    return out.text;
}

/* ---- Numbers: what the command line has options for ---- */

/* The option that a key is called by: top_k by --top-k. */
static const option *request_option(const request_rules *rules, const char *key) {
    for (int i = 0; i < rules->n_options; i++) {
        const option *o = &rules->options[i];
        size_t n = 0;
        if (o->mark != REQUEST_KEY) continue;
        while (o->name[n] && key[n] == (o->name[n] == '-' ? '_' : o->name[n])) n++;
        if (!o->name[n] && !key[n]) return o;
    }
    return NULL;
}

static int request_number(request *r, const request_rules *rules, const option *o, const char *key,
                          const json_node *value, llama_error *err) {
    option own = *o;
    own.to = (char *)&r->settings + ((const char *)o->to - (const char *)rules->defaults);
    if (o->kind == FLAG) {
        if (value->type != JSON_TRUE && value->type != JSON_FALSE)
            return request_expected(key, value, "true or false", err);
        *(int *)own.to = value->type == JSON_TRUE;
        return 0;
    }
    if (value->type != JSON_NUMBER) return request_expected(key, value, "a number", err);
    if (own.to == &r->settings.seed)
        return json_whole(value, &r->seed)
                   ? 0
                   : set_error(err, "\"seed\" is %.10g: expected a whole number from 0 to 2^53 - 1", value->number);
    if (!option_allows(&own, value->number))
        return set_error(err, "\"%s\" is %.10g: expected a %snumber from %.10g to %.10g", key, value->number,
                         o->kind == WHOLE ? "whole " : "", o->low, o->high);
    option_store(&own, value->number);
    return 0;
}

/* ---- Texts ---- */

static int request_string(request_text *to, const char *key, const json_node *value, llama_error *err) {
    if (value->type != JSON_STRING) return request_expected(key, value, "a string", err);
    *to = (request_text){value->text, value->size};
    return 0;
}

/* An array of up to `most` strings that are not empty, or one such string if `or_one`. */
static int request_list(request_text **list, int *n, const char *key, const json_node *value, int most, int or_one,
                        llama_error *err) {
    const int one = or_one && value->type == JSON_STRING;
    if (!one && value->type != JSON_ARRAY)
        return request_expected(key, value, or_one ? "a string or an array of them" : "an array of strings", err);
    if (!one && value->size > (size_t)most)
        return set_error(err, "\"%s\" has %lu strings: expected %d at most", key, (unsigned long)value->size, most);
    *list = calloc(one ? 1 : (size_t)value->size + 1, sizeof **list);
    if (!*list) return request_no_memory(err);
    if (one) (*list)[(*n)++] = (request_text){value->text, value->size};
    else
        JSON_EACH(item, value) {
            if (item->type != JSON_STRING)
                return set_error(err, "\"%s\"[%d] is %s: expected a string", key, *n, json_type_name(item));
            (*list)[(*n)++] = (request_text){item->text, item->size};
        }
    for (int i = 0; i < *n; i++)
        if (!(*list)[i].size) return set_error(err, "\"%s\"[%d] is empty", key, i);
    return 0;
}

static int request_message(tokenizer_message *m, int i, const json_node *item, llama_error *err) {
    static const char *const roles[] = {"system", "user", "assistant"};
    const json_node *role = json_get(item, "role"), *content = json_get(item, "content");
    if (item->type != JSON_OBJECT)
        return set_error(err, "\"messages\"[%d] is %s: expected an object", i, json_type_name(item));
    for (int k = 0; k < 3; k++)
        if (json_is_text(role, roles[k])) m->role = TOKENIZER_SYSTEM + k;
    if (!m->role) {
        const char *said = json_is(role, JSON_STRING) ? role->text : json_type_name(role);
        return set_error(err, "\"messages\"[%d] has the role %.40s: expected system, user or assistant", i, said);
    }
    if (!json_is(content, JSON_STRING))
        return set_error(err, "\"messages\"[%d] has a content that is %s: expected a string", i,
                         json_type_name(content));
    JSON_EACH(key, item)
        if (key + 1 != role && key + 1 != content)
            return set_error(err, "\"messages\"[%d] has an unknown key \"%.60s\"", i, key->text);
    m->text = content->text, m->size = content->size;
    return 0;
}

static int request_messages(request *r, const json_node *value, llama_error *err) {
    if (value->type != JSON_ARRAY) return request_expected("messages", value, "an array of messages", err);
    if (!value->size) return set_error(err, "\"messages\" is empty");
    r->messages = calloc(value->size, sizeof *r->messages);
    if (!r->messages) return request_no_memory(err);
    JSON_EACH(item, value) {
        if (request_message(&r->messages[r->n_messages], r->n_messages, item, err)) return -1;
        r->n_messages++;
    }
    return 0;
}

/* ---- A line ---- */

static const char *request_form(request_kind kind) {
    static const char *const forms[] = {"{\"prompt\": ..}", "{\"text\": ..}", "{\"prompt\": .., \"answers\": [..]}"};
    return forms[kind];
}

/* A key that is none, but perhaps is one by another name, in another place, or of another kind of lines. */
static int request_unknown(const request_rules *rules, const char *key, llama_error *err) {
    static const char *const others[][2] = {
        {"max_tokens", "n"},       {"max_new_tokens", "n"}, {"max_completion_tokens", "n"},
        {"n_predict", "n"},        {"num_predict", "n"},    {"temp", "temperature"},
        {"input", "prompt"},       {"text", "prompt"},      {"repetition_penalty", "repeat_penalty"},
        {"stop_sequences", "stop"}};
    const char *meant = NULL;
    char plain[64];
    size_t n = 0;
    for (; n < sizeof plain - 1 && key[n]; n++) plain[n] = key[n] == '-' ? '_' : key[n];
    plain[n] = 0;
    if (rules->kind == REQUEST_EMBED && (!strcmp(key, "prompt") || !strcmp(key, "messages") || !strcmp(key, "input")))
        return set_error(err, "unknown key \"%s\": with --embed it is \"text\"", key);
    if (rules->kind == REQUEST_TEXT && (!strcmp(key, "text") || !strcmp(key, "answers")))
        return set_error(err, "unknown key \"%s\": that is for --%s", key, *key == 't' ? "embed" : "score");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(plain, others[i][0])) meant = others[i][1];
    const option *o = request_option(rules, plain);
    if (rules->kind == REQUEST_TEXT && !meant && o) meant = plain;
    if (rules->kind == REQUEST_EMBED || (rules->kind == REQUEST_SCORE && (!meant || strcmp(meant, "prompt"))))
        meant = NULL;
    if (meant) return set_error(err, "unknown key \"%.60s\": did you mean \"%s\"?", key, meant);
    return set_error(err, "unknown key \"%.60s\"", key);
}

static int request_value(request *r, const request_rules *rules, const char *key, const json_node *value,
                         llama_error *err) {
    const option *o = rules->kind == REQUEST_TEXT ? request_option(rules, key) : NULL;
    if (o) return request_number(r, rules, o, key, value, err);
    if (!strcmp(key, "id")) return 0; /* read already */
    if (!strcmp(key, rules->kind == REQUEST_EMBED ? "text" : "prompt"))
        return request_string(&r->prompt, key, value, err);
    if (rules->kind != REQUEST_EMBED && !strcmp(key, "messages")) return request_messages(r, value, err);
    if (rules->kind == REQUEST_SCORE && !strcmp(key, "answers"))
        return request_list(&r->answers, &r->n_answers, key, value, INT_MAX, 0, err);
    if (rules->kind == REQUEST_TEXT && !strcmp(key, "dry_breakers"))
        return request_list(&r->breakers, &r->n_breakers, key, value, REQUEST_MOST_TEXTS, 0, err);
    if (rules->kind == REQUEST_TEXT && !strcmp(key, "stop")) {
        free(r->stops); /* those of the command line */
        r->stops = NULL, r->n_stops = 0;
        return request_list(&r->stops, &r->n_stops, key, value, REQUEST_MOST_TEXTS, 1, err);
    }
    return request_unknown(rules, key, err);
}

/* What there must be. */
static int request_check(const request *r, const request_rules *rules, llama_error *err) {
    if (rules->kind == REQUEST_EMBED && !r->prompt.text) return set_error(err, "no \"text\"");
    if (!r->prompt.text && !r->messages) return set_error(err, "neither \"prompt\" nor \"messages\"");
    if (r->prompt.text && r->messages) return set_error(err, "both \"prompt\" and \"messages\"");
    if (rules->kind == REQUEST_SCORE && !r->n_answers) return set_error(err, "no \"answers\"");
    return 0;
}

static int request_defaults(request *r, const request_rules *rules, llama_error *err) {
    r->settings = *rules->defaults;
    r->seed = (uint64_t)r->settings.seed;
    if (!rules->stop) return 0;
    r->stops = malloc(sizeof *r->stops);
    if (!r->stops) return request_no_memory(err);
    r->stops[r->n_stops++] = (request_text){rules->stop, strlen(rules->stop)};
    return 0;
}

/* Why a line is no JSON, in fewer words than of a file: all of it is one line. */
static int request_no_json(const request_rules *rules, const char *line, size_t size, const char *why,
                           llama_error *err) {
    const char *at = strstr(why, ", byte "), *twice = strstr(why, " has the key ");
    size_t i = 0;
    while (i < size && (line[i] == ' ' || line[i] == '\t')) i++;
    if (i < size && line[i] != '{' && line[i] != '[')
        return set_error(err, "no JSON%s; expected %s", at ? at : "", request_form(rules->kind));
    if (!at && twice) return set_error(err, "an object%s", twice);
    return set_error(err, "no JSON%s%s", at ? "" : ": ", at ? at : why);
}

int request_parse(request *r, const char *line, size_t size, uint64_t number, const request_rules *rules,
                  llama_error *err) {
    llama_error why = {0, ""};
    *r = (request){.line = number};
    if (request_defaults(r, rules, err)) return -1;
    if (json_parse(&r->json, line, size, "line", &why)) return request_no_json(rules, line, size, why.text, err);
    const json_node *object = r->json.nodes;
    if (object->type != JSON_OBJECT)
        return set_error(err, "the line is %s: expected %s", json_type_name(object), request_form(rules->kind));
    if (!(r->id = request_id(object, number, err))) return -1;
    JSON_EACH(key, object) {
        if (strlen(key->text) != key->size) return set_error(err, "unknown key \"%.60s\"", key->text);
        if (request_value(r, rules, key->text, key + 1, err)) return -1;
    }
    return request_check(r, rules, err);
}

void request_free(request *r) {
    free(r->id), free(r->messages), free(r->stops), free(r->answers), free(r->breakers);
    json_free(&r->json);
    *r = (request){.line = 0};
}
