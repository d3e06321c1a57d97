/* test_template.c - which chat template a Jinja text is proved to be, and what is said of one that is none. */
#include "../tools/formats/template.h"
#include "templates.h"
#include "test.h"

#include <time.h>

static llama_error why;

static const char *find(const char *jinja, const char *bos, const char *eos, int marks_are_tokens) {
    const template_tokens tokens = {{bos, bos ? strlen(bos) : 0}, {eos, eos ? strlen(eos) : 0}, marks_are_tokens};
    *why.text = 0;
    const char *name = template_find(jinja, strlen(jinja), &tokens, &why);
    return name ? name : "none";
}

static const char *of(const char *jinja) { return find(jinja, "<s>", "</s>", 0); }

/* As of(), and what is said of it. */
static void is_none(const char *jinja, const char *message) {
    CHECK_TEXT(of(jinja), "none");
    CHECK_TEXT(why.text, message);
}

static void test_forms(void) {
    TEST("the five forms") {
        CHECK_TEXT(of(TEMPLATE_LLAMA2), "llama2");
        CHECK_TEXT(of(TEMPLATE_LLAMA3), "llama3");
        CHECK_TEXT(of(TEMPLATE_CHATML), "chatml");
        CHECK_TEXT(of(TEMPLATE_ZEPHYR), "zephyr");
        CHECK_TEXT(of(TEMPLATE_MISTRAL), "mistral");
        CHECK_TEXT(why.text, "");
    }
    TEST("mistral's space before the mark is the vocabulary's to say") {
        CHECK_TEXT(find(TEMPLATE_MISTRAL, "<s>", "</s>", 1), "none");
        CHECK_TEXT(find(TEMPLATE_MISTRAL_WITH(""), "<s>", "</s>", 1), "mistral");
        CHECK_TEXT(of(TEMPLATE_MISTRAL_WITH("")), "none");
        const tokenizer_piece pieces[] = {{"[INST]", 6, 0, TOKENIZER_NORMAL, 0},
                                          {"[INST]", 6, 0, TOKENIZER_CONTROL, 0}};
        CHECK(!template_marks_are_tokens(pieces, 1) && template_marks_are_tokens(pieces, 2));
    }
    TEST("who does not know of opening an answer") {
        static const char turns[] =
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
        CHECK_TEXT(of(turns), "chatml");
        char other[200];
        snprintf(other, sizeof other, "%s{%% if add_generation_prompt %%}{%% endif %%}", turns);
        CHECK_TEXT(of(other), "none");
    }
    TEST("bos is in the template, or not") {
        CHECK_TEXT(of("{{ bos_token }}" TEMPLATE_CHATML), "chatml");
        CHECK_TEXT(find(TEMPLATE_CHATML, NULL, NULL, 0), "chatml");
        CHECK_TEXT(find(TEMPLATE_CHATML, "<|im_start|>", "<|im_end|>", 0), "chatml");
        CHECK_TEXT(find(TEMPLATE_LLAMA3, "<|begin_of_text|>", NULL, 0), "llama3");
        CHECK_TEXT(of("{% if messages|length > 1 %}{{ bos_token }}{% endif %}" TEMPLATE_CHATML), "none");
    }
    TEST("what a template refuses is not held against it") {
        CHECK_TEXT(of("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" TEMPLATE_CHATML),
                   "chatml");
        is_none("{{ raise_exception('nobody') }}", "chat template: line 1: nobody");
        is_none("{% if messages|length > 1 %}{{ raise_exception('no more') }}{% endif %}" TEMPLATE_CHATML,
                "chat template: it refuses conversations of several turns");
    }
}

static void test_none(void) {
    TEST("what is none of them, and where") {
        is_none(
            "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}" TEMPLATE_CHATML,
            "chat template: none of the known forms: after \"<|im_start|>\" it has \"system\\nBe "
            "kind.<|im_end|>\\n<|\", "
            "chatml has \"user\\nHi<|im_end|>\\n<|im_start\"");
        is_none("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}<|assistant|>\n",
                "chat template: none of the known forms: after \"<|user|>\\nHi\" it has \"<|end|>\\n<|assistant|>\", "
                "zephyr "
                "has \"</s>\\n<|assistant|>\\n\"");
        is_none("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content|trim }}<|im_end|>\n{% endfor %}"
                "<|im_start|>assistant\n{{ '' }}",
                "chat template: none of the known forms: after \"<|im_start|>user\\n\" it has "
                "\"b<|im_end|>\\n<|im_start|>assi\", "
                "chatml has \" b <|im_end|>\\n<|im_start|>as\"");
        is_none("\xE4\xBD\xA0\xE5\xA5\xBD", "chat template: none of the known forms: at the beginning it has "
                                            "\"\xE4\xBD\xA0\xE5\xA5\xBD\", llama2 has \"<s>[INST] Hi [/INST]\"");
        is_none("", "chat template: none of the known forms: at the beginning it has nothing, llama2 has "
                    "\"<s>[INST] Hi [/INST]\"");
    }
    TEST("what is not understood") {
        is_none("{{ messages|batch(2) }}", "chat template: line 1: the filter \"batch\" is not supported");
        is_none("{% for m in messages %}", "chat template: line 1: the template ends where there should be: endfor");
        is_none("\n{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
                "chat template: line 2: more than 200000 steps");
        char bos[200];
        memset(bos, 'b', 199), bos[199] = 0;
        CHECK_TEXT(find(TEMPLATE_CHATML, bos, "</s>", 0), "none");
        CHECK_TEXT(why.text, "chat template: bos or eos of more than 100 bytes");
    }
    TEST("all probes together end soon") {
        const clock_t start = clock();
        CHECK_TEXT(of("{% for a in range(2000) %}{{ loop.index * loop.length }}{% endfor %}"), "none");
        CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 1);
    }
}

int main(void) {
    test_forms();
    test_none();
    return test_end();
}
