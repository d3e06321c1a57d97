/* jinja_render.c - renders a chat template, to see or compare what the converter's interpreter makes of it:
 *
 *     jinja_render TEMPLATE VARIABLES
 *
 * VARIABLES is a JSON file. Of an object, the text is printed and nothing else. Of an array of objects, each one's text
 * after a line with its jinja_result and its size, and before a line break; a message is the text of what failed.
 */
#include "../tools/formats/jinja.h"
#include "../tools/shared/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jinja_result render(const jinja_program *p, const json_node *variables, int is_one) {
    char *out;
    size_t size;
    llama_error err = {0};
    const jinja_result result = jinja_render(p, variables, NULL, &out, &size, &err);
    if (!is_one) printf("%d %zu\n", result, out ? size : strlen(err.text));
    if (out) fwrite(out, 1, size, stdout);
    else fputs(err.text, is_one ? stderr : stdout);
    if (!is_one || !out) fputc('\n', out || !is_one ? stdout : stderr);
    free(out);
    return result;
}

int main(int argc, char **argv) {
    llama_error err;
    json_text variables;
    size_t size;
    if (argc != 3) return fputs("usage: jinja_render TEMPLATE VARIABLES\n", stderr), 2;
    char *text = file_read(argv[1], 1 << 24, &size, &err);
    if (!text || json_load(&variables, argv[2], &err)) {
        free(text);
        return fprintf(stderr, "%s\n", err.text), 2;
    }
    jinja_program *p = jinja_parse(text, size, argv[1], &err);
    int result = !p;
    if (!p) fprintf(stderr, "%s\n", err.text);
    else if (variables.nodes->type == JSON_ARRAY)
        JSON_EACH(item, variables.nodes) render(p, item, 0);
    else result = render(p, variables.nodes, 1) != JINJA_DONE;
    jinja_free(p);
    json_free(&variables);
    free(text);
    return result;
}
