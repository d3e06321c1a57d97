/* test_template.c - what the converter makes of chat templates: the form that it takes down, as a tokenizer says it
 * back, against the template's own rendering; and what is said of a template that is none. */
#include "../tools/formats/export.h"
#include "../tools/formats/jinja.h"
#include "../tools/formats/template.h"
#include "templates.h"
#include "test.h"

#include <time.h>

/* A byte-level vocabulary of the 256 bytes and these special tokens, of which the first begins a text. */
static const char *const marks[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|end|>"};
enum { N_MARKS = sizeof marks / sizeof *marks, N_PIECES = 256 + N_MARKS };

static llama_source source;

/* The tokenizer with what the template says. */
static tokenizer *make(const char *jinja, int add_bos) {
    static char texts[256];
    static tokenizer_piece pieces[N_PIECES];
    static const int eos = 257;
    const tokenizer_parts parts = {.kind = TOKENIZER_BYTE_LEVEL,
                                   .pieces = pieces,
                                   .n_pieces = N_PIECES,
                                   .bos = 256,
                                   .add_bos = add_bos,
                                   .ends = &eos,
                                   .n_ends = 1};
    const template_source s = {jinja, strlen(jinja), {"<s>", 3}, {"</s>", 4}, {2026, 1, 2}};
    tokenizer_error err = {0, ""};
    for (int i = 0; i < 256; i++)
        texts[i] = (char)i, pieces[i] = (tokenizer_piece){texts + i, 1, 0, TOKENIZER_NORMAL, 0};
    for (int i = 0; i < N_MARKS; i++)
        pieces[256 + i] = (tokenizer_piece){marks[i], strlen(marks[i]), 0, TOKENIZER_CONTROL, 0};
    memset(&source, 0, sizeof source);
    tokenizer *t = template_tokenizer(&parts, &s, &source, &err);
    CHECK_TEXT(err.text, "");
    return t;
}

static const char *name_of(const tokenizer *t) {
    const char *name = tokenizer_template_name(tokenizer_template(t));
    return name ? name : tokenizer_template(t) ? "own" : "none";
}

/* Messages from a line such as "s:be kind|u:hi|a:hello"; n of them, whose texts are in the line. */
static int messages_of(const char *line, tokenizer_message m[16]) {
    int n = 0;
    for (const char *p = line, *end; *p; p = *end ? end + 1 : end) {
        end = p + strcspn(p, "|");
        m[n].role = *p == 's' ? TOKENIZER_SYSTEM : *p == 'u' ? TOKENIZER_USER : TOKENIZER_ASSISTANT;
        m[n].text = p + 2, m[n++].size = (size_t)(end - p - 2);
    }
    return n;
}

/* What a tokenizer says of a conversation, special tokens by their names; or why not. */
static const char *said(const tokenizer *t, const char *line, int first) {
    static char out[4096];
    tokenizer_message m[16];
    tokenizer_error err = {0, ""};
    static int ids[4000];
    size_t at = 0;
    const ptrdiff_t n = tokenizer_encode_chat(t, 0, m, messages_of(line, m), first, ids, 4000, &err);
    if (n < 0) return strcpy(out, err.text);
    for (ptrdiff_t i = 0; i < n; i++) {
        tokenizer_piece p = {NULL, 0, 0, 0, 0};
        tokenizer_get_piece(t, ids[i], &p);
        memcpy(out + at, p.text, p.size), at += p.size;
    }
    out[at] = 0;
    return out;
}

/* The template must be taken down, under that name, and say this of a conversation. */
static void says(const char *jinja, const char *name, const char *line, const char *want) {
    tokenizer *t = make(jinja, 0);
    CHECK_TEXT(name_of(t), name);
    CHECK_TEXT(source.template_error.text, "");
    CHECK_TEXT(said(t, line, 0), want);
    tokenizer_free(t);
}

static void is_none(const char *jinja, const char *message) {
    tokenizer *t = make(jinja, 0);
    CHECK_TEXT(name_of(t), "none");
    CHECK_TEXT(source.template_error.text, message);
    tokenizer_free(t);
}

#define TURNS "{% for m in messages %}<|im_start|>{{ m.role }}\n"
#define END "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
/* What is at hand of an answer. */
#define ANSWERS(what) TURNS "{% if m.role == 'assistant' %}" what "{% else %}{{ m.content }}{% endif %}" END

static void test_names(void) {
    TEST("forms that have a name") {
        static const struct {
            const char *jinja, *name;
            int add_bos;
        } cases[] = {{TEMPLATE_LLAMA2, "llama2", 0},
                     {TEMPLATE_LLAMA3, "llama3", 0},
                     {TEMPLATE_CHATML, "chatml", 0},
                     {TEMPLATE_ZEPHYR, "zephyr", 0},
                     {TURNS "{{ m.content }}" END, "chatml", 0},
                     {TURNS "{{ m.content }}" END, "own", 1}, /* there texts begin with bos, and this one does not */
                     {"{{ bos_token }}" TURNS "{{ m.content }}" END, "chatml", 1},
                     {"{{ bos_token }}" TURNS "{{ m.content }}" END, "own", 0},
                     {TEMPLATE_MISTRAL, "own", 0}}; /* it trims answers at both ends */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            tokenizer *t = make(cases[i].jinja, cases[i].add_bos);
            CHECK_TEXT(name_of(t), cases[i].name);
            CHECK_TEXT(source.template_error.text, "");
            tokenizer_free(t);
        }
    }
}

static void test_places(void) {
    TEST("a system's text of its own, when there is none") {
        static const char jinja[] = "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n"
                                    "{% endif %}" TURNS "{{ m.content }}" END;
        says(jinja, "own", "u:hi",
             "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
             "<|im_start|>assistant\n");
        says(jinja, "own", "s:S|u:hi",
             "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
             "<|im_start|>assistant\n");
    }
    TEST("a system's text inside the first user's, and inside the last one's") {
        says(TEMPLATE_SPLIT "{% for m in turns %}{% if m.role == 'user' %}U:"
                            "{{ system + '/' if loop.first and system is defined }}{{ m.content|trim }}"
                            "{% else %}A:{{ m.content|trim }}</s>{% endif %}{% endfor %}"
                            "{% if add_generation_prompt %}A:{% endif %}",
             "own", "s:S|u: a |a:b|u:c", "U:S/aA:b</s>U:cA:");
        static const char last[] = TEMPLATE_SPLIT "{% for m in turns %}{% if m.role == 'user' %}U:"
                                                  "{{ system + '/' if loop.last and system is defined }}{{ m.content }}"
                                                  "{% else %}A:{{ m.content }}</s>{% endif %}{% endfor %}"
                                                  "{% if add_generation_prompt %}A:{% endif %}";
        says(last, "own", "s:S|u:a", "U:S/aA:");
        says(last, "own", "s:S|u:a|a:b|u:c", "U:aA:b</s>U:S/cA:");
        tokenizer *t = make(last, 0);
        CHECK(!tokenizer_chat_grows(t, 0) && tokenizer_chat_grows(t, TOKENIZER_CHATML));
        CHECK_TEXT(said(t, "u:a|a:b|u:c", 2),
                   "the model's template changes what was said before: no first message but 0");
        tokenizer_free(t);
    }
    TEST("an empty system's text that is none") {
        static const char jinja[] = "{% if messages[0].role == 'system' %}{% set turns = messages[1:] %}"
                                    "{% if messages[0].content %}[{{ messages[0].content }}]{% endif %}"
                                    "{% else %}{% set turns = messages %}{% endif %}{% for m in turns %}<{{ m.role }}>"
                                    "{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        says(jinja, "own", "s:|u:a", "<user>a<assistant>");
        says(jinja, "own", "s: |u:a", "[ ]<user>a<assistant>");
    }
    TEST("who refuses a system's text, or two questions in a row") {
        static const char jinja[] = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
                                    "{{ raise_exception('in turn') }}{% endif %}<{{ m.role }}>{{ m.content }}"
                                    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        says(jinja, "own", "u:a|a:b|u:c", "<user>a<assistant>b<user>c<assistant>");
        says(jinja, "own", "s:S|u:a", "message 0 is the system's; the model's template needs the user's there");
        says(jinja, "own", "u:a|u:b", "message 1 is the user's; the model's template needs the assistant's there");
        says(TURNS "{{ m.content }}" END, "chatml", "u:a|u:b",
             "<|im_start|>user\na<|im_end|>\n<|im_start|>user\nb"
             "<|im_end|>\n<|im_start|>assistant\n");
    }
    TEST("today") {
        says("{{ strftime_now('%d %b %Y') }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
             "{% if add_generation_prompt %}<assistant>{% endif %}",
             "own", "u:a", "02 Jan 2026<user>a<assistant>");
        CHECK_TEXT(source.note, "today is 2026-01-02 to the chat template, from now on (see --date)");
    }
}

static void test_texts(void) {
    TEST("what is trimmed of whose text") {
        says(ANSWERS("{{ m.content.strip() }}"), "own", "u: a |a: b |u:c",
             "<|im_start|>user\n a <|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
             "<|im_start|>assistant\n");
        says(ANSWERS("{{ m.content.rstrip() }}"), "own", "u:a|a: b |u:c",
             "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n b<|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
             "<|im_start|>assistant\n");
        says(ANSWERS("{{ m.content.lstrip('\\n') }}"), "own", "u:a|a:\n\n b |u:c",
             "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n b <|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
             "<|im_start|>assistant\n");
    }
    TEST("what an earlier answer thought") {
        static const char thought[] = "u:a|a:<think>\nx\n</think>\n\n b |u:c";
        says(ANSWERS("{{ m.content.split('</think>')[-1] }}"), "own", thought,
             "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n\n\n b <|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
             "<|im_start|>assistant\n");
        says(ANSWERS("{{ m.content.split('</think>')[-1].lstrip('\\n') if '</think>' in m.content else m.content }}"),
             "own", thought,
             "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n b <|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
             "<|im_start|>assistant\n");
        says(
            ANSWERS("{{ m.content.split('</think>', 1)[-1]|trim if '</think>' in m.content else m.content }}"), "own",
            "u:a|a:x</think> b</think> |u:c",
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb</think><|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
            "<|im_start|>assistant\n");
        says("{% set last = namespace(at=-1) %}{% for m in messages %}{% if m.role == 'assistant' %}"
             "{% set last.at = loop.index0 %}{% endif %}{% endfor %}" ANSWERS(
                 "{{ m.content if loop.index0 == last.at else m.content.split('</think>')[-1] }}"),
             "own", "u:a|a:x</think>b|u:c|a:y</think>d|u:e",
             "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n"
             "<|im_start|>assistant\ny</think>d<|im_end|>\n<|im_start|>user\ne<|im_end|>\n<|im_start|>assistant\n");
        tokenizer *t = make(ANSWERS("{{ m.content.split('</think>')[-1] }}"), 0);
        CHECK(!tokenizer_chat_grows(t, 0));
        tokenizer_free(t);
    }
    TEST("an answer that is opened with a thought") {
        static const char jinja[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>{% endfor %}"
                                    "{% if add_generation_prompt %}<assistant><think>\n{% endif %}";
        says(jinja, "own", "u:a|a:b|u:c", "<user>a<|end|><assistant>b<|end|><user>c<|end|><assistant><think>\n");
        tokenizer *t = make(jinja, 0);
        CHECK(!tokenizer_chat_grows(t, 0) && tokenizer_end_of_turn(t, 0) == 260);
        tokenizer_free(t);
    }
    TEST("who knows nothing of opening an answer") {
        says("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}", "own", "u:a",
             "<|user|>a<|end|><|assistant|>");
        says("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
             "{% if add_generation_prompt %}{% endif %}",
             "own", "u:a", "<|user|>a<|end|>");
    }
    TEST("marks in a text are text, the template's are tokens") {
        tokenizer *t = make(TURNS "{{ m.content }}" END, 0);
        tokenizer_message m[16];
        int ids[100], special = 0;
        const int n = messages_of("u:<s></s>", m);
        const ptrdiff_t count = tokenizer_encode_chat(t, 0, m, n, 0, ids, 100, NULL);
        for (ptrdiff_t i = 0; i < count; i++) special += ids[i] >= 256;
        CHECK(special == 3);
        tokenizer_free(t);
    }
}

/* Turn by turn, the answers' ids between, a conversation is what it is at once. */
static void test_turns(void) {
    TEST("five turns, one after the other") {
        static const char *const templates[] = {
            TURNS "{{ m.content }}" END,
            "{% for m in messages %}<{{ m.role }}>{{ m.content|trim }}<|end|>{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}",
            TEMPLATE_LLAMA2, TEMPLATE_MISTRAL};
        tokenizer_message m[16];
        const int n = messages_of("s:S|u:a|a:b|u:c|a:d|u:e|a:f|u:g|a:h|u:i", m);
        for (int k = 0; k < 4; k++) {
            tokenizer *t = make(templates[k], 0);
            int whole[1000], parts[1000];
            CHECK(tokenizer_chat_grows(t, 0));
            const ptrdiff_t all = tokenizer_encode_chat(t, 0, m, n, 0, whole, 1000, NULL);
            ptrdiff_t at = tokenizer_encode_chat(t, 0, m, 2, 0, parts, 1000, NULL);
            for (int i = 2; i < n; i += 2) {
                char answer[8]; /* as a model of llama2 or mistral begins it */
                const int size = snprintf(answer, sizeof answer, "%s%.*s", k > 1 ? " " : "", (int)m[i].size, m[i].text);
                at += tokenizer_encode(t, answer, (size_t)size, 0, parts + at, (size_t)(1000 - at), NULL);
                at += tokenizer_encode_chat(t, 0, m, i + 2, i + 1, parts + at, (size_t)(1000 - at), NULL);
            }
            CHECK(all == at && !memcmp(whole, parts, (size_t)all * sizeof *whole));
            tokenizer_free(t);
        }
    }
}

/* A template, written as another program of the same form, is the same tokenizer again. */
static void goes_round(const char *jinja, int add_bos) {
    llama_error err = {.text = ""};
    tokenizer *t = make(jinja, add_bos);
    char *written = export_template(t, 0, &err);
    CHECK_TEXT(err.text, "");
    tokenizer *again = written ? make(written, add_bos) : NULL;
    CHECK_TEXT(source.template_error.text, "");
    const size_t size = tokenizer_save(t, NULL, 0);
    char *a = malloc(size), *b = malloc(size);
    tokenizer_save(t, a, size);
    if (!CHECK(again && tokenizer_save(again, b, size) == size && !memcmp(a, b, size)))
        printf("%s\n%s\n", jinja, written);
    free(a), free(b), free(written), tokenizer_free(t), tokenizer_free(again);
}

static void test_written(void) {
    TEST("written as Jinja, and read again") {
        static const char *const templates[] = {
            TEMPLATE_LLAMA2,
            TEMPLATE_LLAMA3,
            TEMPLATE_CHATML,
            TEMPLATE_ZEPHYR,
            TEMPLATE_MISTRAL,
            "{{ bos_token }}it's a \\ \"test\" of \t{{ '{{ }} {% %} {#' }}\n" TURNS "{{ m.content }}" END,
            TEMPLATE_SPLIT "{% for m in turns %}U{{ system + '/' if loop.last and system is defined }}{{ m.content }}"
                           "{% endfor %}{% if add_generation_prompt %}A{% endif %}",
            "{% for m in messages if m.content or m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"
            "{% if add_generation_prompt %}<assistant>{% endif %}",
            ANSWERS("{{ m.content.strip() }}"),
            ANSWERS("{{ m.content.lstrip('\\n') }}"),
            ANSWERS("{{ m.content.split('</think>')[-1].strip() if '</think>' in m.content else m.content }}"),
            ANSWERS("{{ m.content.split('</think>', 1)[-1] }}"),
            "{% set last = namespace(at=-1) %}{% for m in messages %}{% if m.role == 'assistant' %}"
            "{% set last.at = loop.index0 %}{% endif %}{% endfor %}" ANSWERS(
                "{{ m.content if loop.index0 == last.at else m.content.split('</think>')[-1] }}"),
            "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('no') }}"
            "{% endif %}<{{ m.role }}>{{ m.content }}<|end|>{% endfor %}"
            "{% if add_generation_prompt %}<assistant><think>\n{% endif %}"};
        for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
            for (int add_bos = 0; add_bos < 2; add_bos++) goes_round(templates[i], add_bos);
    }
    TEST("none to write") {
        llama_error err = {.text = ""};
        tokenizer *t = make("", 0);
        CHECK(!export_template(t, 0, &err));
        CHECK_TEXT(err.text, "there is no chat template");
        tokenizer_free(t);
    }
}

static void test_none(void) {
    TEST("what no form says, and where") {
        is_none("{% for m in messages %}<{{ m.role }}{{ loop.index }}>{{ m.content }}{% endfor %}",
                "chat template: no form says it: after \"<system1>3<user2>What?\" it has \"<assistant3>Be "
                "kind.<user4>H\", after others like it "
                "\"<assistant2>Be kind.<user3>H\"");
        is_none("{% for m in messages %}<{{ m.role }}>{{ m.content|upper }}{% endfor %}",
                "chat template: no form says it: what the user says is left out");
        is_none("{% for m in messages %}<{{ m.role }}>{{ m.content ~ m.content }}{% endfor %}",
                "chat template: no form says it: what the user says is there twice");
        is_none("{% for m in messages|reverse %}<{{ m.role }}>{{ m.content }}{% endfor %}",
                "chat template: no form says it: what is said stands in another order");
        is_none(TURNS "{{ m.content.replace('one', 'two') }}" END,
                "chat template: no form says it: after \"<|im_end|>\\n<|im_start|>user\\n\" it has \"two "
                "two<|im_end|>\\n<|im_start\", "
                "after others like it \"one two<|im_end|>\\n<|im_start\"");
        is_none("", "chat template: no form says it: what the user says is left out");
        is_none("{% for m in messages %}{{ m.content }}{% if m.role == 'user' and not m.content %}?{% endif %}|"
                "{% endfor %}",
                "chat template: no form says it: after \"\\nc\\n|\xC2\xA0"
                "\"|\xC2\xA0"
                "\"| b |?\xCF\x84"
                "|\" it has \"?|\\n |\xC2\xA0"
                "\"|\", after others like it \"|\\n |\xC2\xA0"
                "\"|\"");
    }
    TEST("what becomes of white space alone, of its kinds at the end, of line breaks") {
        static const char *const what[] = {
            "{% if m.content|trim %}<{{ m.content }}>{% endif %}",
            "{% if not m.content %}<>{% elif m.content|trim %}<{{ m.content }}>{% endif %}",
            "{{ m.content.rstrip(' \\n') }}", "{{ m.content.replace('\\r\\n', '\\n') }}"};
        for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
            char jinja[400];
            snprintf(jinja, sizeof jinja, "%s%s%s", TURNS "{% if m.role == 'system' %}", what[i],
                     "{% else %}{{ m.content }}{% endif %}" END);
            tokenizer *t = make(jinja, 0);
            CHECK_TEXT(name_of(t), "none");
            tokenizer_free(t);
        }
    }
    TEST("what it refuses, and what is not understood") {
        is_none("{{ raise_exception('nobody') }}", "chat template: line 1: nobody");
        is_none("{% if messages|length > 1 %}{{ raise_exception('no more') }}{% endif %}" TEMPLATE_CHATML,
                "chat template: line 1: no more");
        is_none("{{ messages|urlize }}", "chat template: line 1: the filter \"urlize\" is not supported");
        is_none("{% for m in messages %}", "chat template: line 1: the template ends where there should be: endfor");
        is_none("\n{% for a in range(999) %}{% for b in range(999) %}{% endfor %}{% endfor %}",
                "chat template: line 2: more than 4194304 bytes of memory");
    }
    TEST("all probes together end soon") {
        const clock_t start = clock();
        tokenizer *t =
            make("{% for a in range(1000) %}{% set b = loop.index * loop.length %}{% endfor %}" TEMPLATE_CHATML, 0);
        CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 20); /* a tenth of a second without sanitizers */
        CHECK_TEXT(name_of(t), "chatml");
        tokenizer_free(t);
    }
}

int main(void) {
    test_names();
    test_places();
    test_texts();
    test_turns();
    test_written();
    test_none();
    return test_end();
}
