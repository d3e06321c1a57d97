/* templates.h - chat templates of the five forms, for tests: as Jinja, each said in another way, on one line. */
#ifndef TEST_TEMPLATES_H
#define TEST_TEMPLATES_H

#define TEMPLATE_CHATML                                                                                                \
    "{% for m in messages %}<|im_start|>{{ m.role + '\\n' }}{{ m.content }}<|im_end|>{{ '\\n' }}{% endfor %}"          \
    "{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}"
#define TEMPLATE_LLAMA3                                                                                                \
    "{%- for m in messages -%}  {%- set say = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' -%}"       \
    "  {{- (bos_token if loop.first else '') ~ say ~ (m['content']|trim + '<|eot_id|>') -}} {%- endfor -%}"            \
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' if add_generation_prompt }}"
#define TEMPLATE_ZEPHYR                                                                                                \
    "{% macro turn(role, text='') %}{{ '<|%|>\\n'.replace('%', role) }}{{ text }}{% endmacro %}"                       \
    "{% for m in messages %}{{ turn(m.role, m.content + eos_token) }}{{ '\\n' }}{% endfor %}"                          \
    "{% if add_generation_prompt %}{{ turn('assistant') }}{% endif %}"
#define TEMPLATE_SPLIT                                                                                                 \
    "{% if messages[0].role == 'system' %}{% set system, turns = messages[0].content, messages[1:] %}"                 \
    "{% else %}{% set turns = messages %}{% endif %}"
#define TEMPLATE_LLAMA2                                                                                                \
    TEMPLATE_SPLIT                                                                                                     \
    "{% if system is defined %}{% set system = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' %}{% endif %}"              \
    "{% for m in turns %}{% if m.role != ('user', 'assistant')[loop.index0 % 2] %}"                                    \
    "{{ raise_exception('no turn of ' + m.role) }}{% endif %}{% if m.role == 'user' %}"                                \
    "{{ bos_token + '[INST] ' + ((system|d if loop.first else '') + m.content).strip() + ' [/INST]' }}"                \
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
/* space: what stands before [/INST] */
#define TEMPLATE_MISTRAL_WITH(space)                                                                                   \
    TEMPLATE_SPLIT "{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}[INST] "                               \
                   "{{ system + '\\n\\n' if loop.first and system is defined }}{{ m.content }}" space "[/INST]"        \
                   "{% else %} {{ m.content|trim }}{{ eos_token }}{% endif %}{% endfor %}"
#define TEMPLATE_MISTRAL TEMPLATE_MISTRAL_WITH(" ")

#endif
