#!/usr/bin/env python3
"""Compares the converter's Jinja interpreter with Python's jinja2, set up as transformers does.

    make .build/tests/jinja_render
    python3 tests/jinja_compare.py .build/tests/jinja_render random 20000 1
    python3 tests/jinja_compare.py .build/tests/jinja_render chats 200 1 TEMPLATE ...

random: so many templates of a grammar, the first with that seed. chats: so many conversations through each template.
Both must give the same text, or both fail; a refusal that says what is not supported counts apart. Needs the package
jinja2; the tests do not.
"""
import collections
import datetime
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile

import jinja2
import jinja2.ext
import jinja2.sandbox

# ---- jinja2 as transformers sets it up ----


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("render"), [], [], body).set_lineno(line)

    def render(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
ENVIRONMENT.filters["tojson"] = tojson
ENVIRONMENT.globals["raise_exception"] = raise_exception
ENVIRONMENT.globals["strftime_now"] = lambda f: datetime.datetime(2024, 7, 26).strftime(f)


def theirs(template, variables):
    """For each of the variables (text, None) or (None, why not)."""
    try:
        program = ENVIRONMENT.from_string(template)
    except Exception as e:  # whatever it is, it is no text
        return [(None, f"{type(e).__name__}: {e}")] * len(variables)
    results = []
    for v in variables:
        signal.alarm(5)
        try:
            results.append((program.render(**v), None))
        except Exception as e:
            results.append((None, f"{type(e).__name__}: {e}"))
        signal.alarm(0)
    return results


def ours(render, template, variables):
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("t", "variables")]
        with open(names[0], "w", encoding="utf-8", newline="") as f:
            f.write(template)
        with open(names[1], "w", encoding="utf-8") as f:
            json.dump(variables, f)
        p = subprocess.run([render] + names, capture_output=True, check=False)
    if p.returncode:
        return [(None, p.stderr.decode("utf-8", "replace").replace(folder, ""))] * len(variables)
    results, rest = [], p.stdout
    while rest:
        head, rest = rest.split(b"\n", 1)
        result, size = map(int, head.split())
        text, rest = rest[:size].decode("utf-8", "replace"), rest[size + 1:]
        results.append((None, text) if result else (text, None))
    return results


class Count:
    def __init__(self):
        self.same = self.failed = self.different = self.stricter = 0
        self.refused = collections.Counter()

    def compare(self, render, template, variables, show):
        for want, got in zip(theirs(template, variables), ours(render, template, variables)):
            if want[1] and want[1].startswith("AssertionError"):
                self.refused["jinja2 itself breaks"] += 1
            elif got[0] is None and want[0] is not None and ("not supported" in got[1] or "more than" in got[1]):
                self.refused[got[1].split(": ", 2)[-1].strip()] += 1
            elif got[0] == want[0] and "Sanitizer" not in (got[1] or ""):
                self.same += 1
                self.failed += got[0] is None
            else:
                self.different += 1
                self.stricter += got[0] is None
                if self.different <= show:
                    print(f"of     {template if len(template) < 2000 else '...'!r}")
                    print(f"jinja2 {want!r}\nours   {got!r}")

    def __str__(self):
        return (f"{self.same} the same, of which {self.failed} fail, {self.different} differ, of which "
                f"{self.stricter} fail only here, {sum(self.refused.values())} refused")


# ---- Conversations ----

TEXTS = ["", " ", "\n", "hi", " Hello there  ", "What is 2+2?\n", "\n\nline\nbreak\n", "é ü “quoted” 日本 🙂",
         "<b>&'\"\\</b>", "a|b {{x}} {% y %}", "<think>\nhm\n</think>\n\nfour", "<think></think>",
         "a</think> b</think>c",
         "\t tab", "[INST] <<SYS>>", "<|im_start|>user\n<|im_end|>", "/no_think", "  /think", "x" * 40,
         "\u00a0nbsp\u3000"]


def conversation(r):
    messages = []
    if r.random() < .5:
        messages.append({"role": "system", "content": r.choice(TEXTS)})
    for i in range(r.randint(0, 6)):
        role = "assistant" if i % 2 else "user"
        if r.random() < .06:
            role = r.choice(["user", "assistant", "system", "tool", "developer", "other"])
        m = {"role": role, "content": r.choice(TEXTS)}
        if role == "assistant" and r.random() < .3:
            m["content"] = "<think>" + r.choice(TEXTS) + "</think>" + m["content"]
        if role == "assistant" and r.random() < .1:
            m["reasoning_content"] = r.choice(TEXTS)
        if r.random() < .04:
            m["content"] = r.choice([None, [{"type": "text", "text": r.choice(TEXTS)}]])
        messages.append(m)
        if role == "assistant" and r.random() < .08:
            call = {"id": r.choice(["call_1", "abcdefghi", "functions.f:0"]), "type": "function",
                    "function": {"name": "f", "arguments": {"city": r.choice(TEXTS), "n": r.choice([1, 2.5, None])}}}
            m["tool_calls"] = [call]
            messages.append({"role": "tool", "name": "f", "tool_call_id": call["id"], "content": r.choice(TEXTS)})
    v = {"messages": messages, "add_generation_prompt": r.random() < .5, "bos_token": "<s>", "eos_token": "</s>"}
    if r.random() < .15:
        v["enable_thinking"] = r.random() < .5
    if r.random() < .15:
        v["tools"] = [{"type": "function", "function": {
            "name": "f", "description": r.choice(TEXTS),
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "the city"}},
                           "required": ["city"]}}}]
    return v


def chats(render, n, seed, files):
    total = Count()
    for name in files:
        with open(name, encoding="utf-8", newline="") as f:
            template = f.read()
        r, count = random.Random(seed), Count()
        count.compare(render, template, [conversation(r) for _ in range(n)], 1)
        print(f"{os.path.basename(name):55} {count}")
        total.different += count.different + sum(count.refused.values())
    return total


# ---- Random templates ----

VARIABLES = {
    "a": 1, "z": 0, "neg": -7, "f": 2.5, "n": None, "t": True, "b": "x", "e": "", "s": "Hello World",
    "w": "  two words\n", "u": "é日x", "h": "<a href=\"b\">&'", "num": "12", "lines": "a\nb\n\n c",
    "l": [3, 1, 2], "le": [], "ls": ["b", "A", "c", "a"], "lm": [1, "a", None, 2.5, [1]], "ll": [[1, 2], [3, 4]],
    "d": {"k": "v", "items": 2, "B": 1}, "de": {}, "dn": {"b": 2, "A": 1, "c": 0},
    "ms": [{"role": "user", "c": " hi ", "n": 2}, {"role": "a", "c": "Q", "n": 1, "x": {"y": 5}},
           {"role": "B", "n": 3}]}

KINDS = {"num": ["a", "z", "neg", "f", "t"], "str": ["b", "e", "s", "w", "u", "h", "num", "lines"],
         "list": ["l", "le", "ls", "lm", "ll", "ms"], "dict": ["d", "de", "dn", "ms[0]", "ms[-1]"]}

# What each kind is made of; {num} and so on stand for a further expression, {any} for one of any kind.
RULES = {
    "num": """0; 1; 2; 3; 5; -1; 10; 1.5; 0.1; 1e3; 2.0; 100; true; false; ({num}+{num}); ({num}-{num}); ({num}*{num});
        ({num}/{num}); ({num}//{num}); ({num}%{num}); {num}**2; 2**{num}; -{num}; {num}+{num}; {num}-{num};
        {num}*{num}; {num}//{num}; {num}%{num}; {num}~{num}; +{num}; {num}/{num}*{num}; -{num}**2; {any}|length;
        {any}|count; {str}|int; {any}|int({num}); {str}|float; {any}|float; {num}|abs; {num}|round;
        {num}|round({num}); {num}|round(1,'floor'); {num}|round(1,'ceil'); {num}|int; {list}|sum;
        {list}|sum(start={num}); {list}|sum(attribute='n'); {ms}|sum('n',1); {list}|min; {list}|max; {list}|first;
        {list}|last; {list}[{num}]; {dict}[{str}]; {str}.find({str}); {str}.rfind({str}); {str}.count({str});
        {list}.index({any}); {list}.count({any}); {str}.index({str}); {dict}.B; {dict}.get({str},{num}); loop.index;
        loop.index0; loop.revindex; loop.revindex0; loop.length; loop.depth; ns.x; ns.y; ({num} if {bool} else
        {num}); ({num} if {bool}); ({num} or {num}); ({num} and {num}); x; y; i; {ms}|map(attribute='n')|sum;
        {str}|wordcount; {num}|string|int; ({num},{num})[{num}]""",
    "str": """'' 'a'; "b"; 'l' 'o' '; ' 'Hello'; "it's"; 'a\\nb' '\\u00e9' 'x\\ty'; 'A-b c'; 'aXbXc' '12' '%s' '{}'
        'é日'; {str}~{any}; ({str}+{str}); {str}+{str}; {str}*{num}; ({num}*{str}); {str}|upper; {str}|lower;
        {str}|title; {str}|capitalize; {any}|trim; {str}|trim({str}); {any}|string; {str}|replace({str},{str});
        {str}|replace({str},{str},{num}); {any}|tojson; {any}|tojson(indent={num});
        {any}|tojson(ensure_ascii=true); {any}|tojson(sort_keys=true); {any}|tojson(separators=(',',':'));
        {str}|indent; {str}|indent({num}); {str}|indent({num},true); {str}|indent({num},{bool},{bool});
        {str}|indent(width={str},first=true); {list}|join; {list}|join({str}); {list}|join(',',attribute='role');
        {any}|default({str}); {any}|d({str},true); {any}|default({any},{bool}); {str}|first; {str}|last;
        {str}|reverse; {str}|escape; {str}|e; {str}|safe; {str}[{num}]; {str}[{num}:]; {str}[:{num}];
        {str}[{num}:{num}]; {str}[{num}:{num}:{num}]; {str}[::-1]; {str}.upper(); {str}.lower(); {str}.title();
        {str}.capitalize(); {str}.strip(); {str}.strip({str}); {str}.lstrip(); {str}.rstrip();
        {str}.lstrip({str}); {str}.rstrip({str}); {str}.replace({str},{str}); {str}.replace({str},{str},{num});
        {str}.join({list}); {str}.removeprefix({str}); {str}.removesuffix({str}); {str}.swapcase();
        {str}.zfill({num}); {str}.ljust({num}); {str}.rjust({num},'*'); {str}.center({num});
        {str}.format({any},{any}); '{}-{}'.format({any},{any}); '{0}{1}'.format({str},{num}); '%s
        %d'|format({any},{num}); '%s'%{any}; '%s-%s'%({any},{any}); '%5.2f'|format({num}); {str}|center({num});
        {str}|truncate({num}); {str}|truncate({num},true,''); {str}|wordwrap({num}); {str}|striptags;
        {str}|urlencode; {str}|forceescape; {str}|safe|upper; {str}|e|replace({str},{str}); ({str}|safe)~{str};
        ({str}|safe)+{str}; {list}|first; {list}|last; {dict}.k; {dict}['k']; {dict}.get({str}); {dict}|first;
        {list}|random|string|length; loop.cycle({any},{any}); loop.previtem; loop.nextitem; ns.x; x; y; i; m(1);
        m({any},b={any}); m(z=1,b={any},y=2,a=3);
        m(x={any}); m(); m({any},{any},{any}); {str}|batch(2)|list; {str}|list|join; caller(); ({str} if
        {bool} else {str}); ({str} or {str}); {str}.casefold(); {str}.expandtabs(); strftime_now('%Y-%m-%d');
        {str}; {str}""",
    "list": """[]; [{any}]; [{any},{any}]; [{num},{num},{num}]; [{str},{str},{str}]; ({any},); ({num},{num});
        ({any},{any},); range({num}); range({num},{num}); range(5,0,-2); range({num},{num},{num}); {list}[{num}:];
        {list}[:{num}]; {list}[{num}:{num}:{num}]; {list}[::-1]; {list}|list; {any}|list; {list}|sort;
        {list}|sort(reverse=true); {list}|sort(case_sensitive=true); {ms}|sort(attribute='role');
        {ms}|sort(attribute='n,role'); {list}|unique|list; {list}|unique(true)|list; {list}|reverse|list;
        {list}|select|list; {list}|reject|list; {list}|select('odd')|list; {list}|select('>',{num})|list;
        {list}|reject('equalto',{any})|list; {list}|select('string')|list; {list}|select('in',{list})|list;
        {ms}|selectattr('x')|list; {ms}|selectattr('role','equalto',{str})|list;
        {ms}|rejectattr('n','gt',{num})|list; {ms}|selectattr('x.y','defined')|list;
        {ms}|map(attribute='role')|list; {ms}|map(attribute='x.y',default={any})|list; {list}|map('string')|list;
        {list}|map('upper')|list; {list}|map('int')|list; {list}|map('default',{any})|list;
        {list}|map('length')|list; {list}|map('join',{str})|list; {list}|map('replace',{str},{str})|list;
        {dict}.items()|list; {dict}.keys()|list; {dict}.values()|list; {dict}|items|list; {dict}|dictsort;
        {dict}|dictsort(true); {dict}|dictsort(by='value'); {dict}|dictsort(false,'value',true); {dict}|list;
        {str}.split(); {str}.split({str}); {str}.split({str},{num}); {str}.split(maxsplit={num});
        {str}.rsplit({str},{num}); {str}.splitlines(); {str}.splitlines(true); {str}.partition({str});
        {str}.rpartition({str}); {list}|batch({num})|list; {list}|batch(2,{any})|list; {list}|slice({num})|list;
        {list}|slice(2,{any})|list; ({list}+{list}); ({list}*{num});
        {ms}|map(attribute='c')|select('defined')|list; {list}; ({list} if {bool} else {list}); ({list} or {list});
        {ms}[0].values()|list; varargs; {str}|list; {list}.copy();
        {ms}|selectattr('role','in',{list})|map(attribute='role')|join(',')|list; {list}|min; {list}|max; x; y; i""",
    "dict": """{}; {'a':{any}}; {'k':{any},'B':{num}}; {{str}:{any}}; {{any}:1}; dict(a={any});
        dict({dict},b={any}); {ms}[0]; {ms}[-1]; {dict}.copy(); {dict}; kwargs; {ms}|first; {ms}|last; ({dict} if
        {bool} else {dict}); ({dict} or {dict}); x""",
    "bool": """true; false; ({any}=={any}); {any}!={any}; {num}<{num}; {num}<={num}<{num}; {str}<{str}; {list}<{list};
        {num}>={num}; {any}<{any}; ({any} in {list}); {str} in {str}; {any} not in {any}; {str} in {dict}; not
        {any}; ({any} and {any}); ({any} or {any}); {any} is defined; {any} is undefined; {any} is none; {any} is
        not none; {any} is string; {any} is mapping; {any} is iterable; {any} is sequence; {any} is number; {any} is
        integer; {any} is float; {any} is boolean; {any} is true; {any} is false; {any} is callable; {num} is odd;
        {num} is even; {num} is divisibleby({num}); {num} is divisibleby 2; {any} is eq({any}); {any} is equalto
        {str}; {any} is ne({any}); {any} is in({list}); {any} is in {list}; {any} is sameas({any}); {any} is sameas
        true; {any} is sameas none; {str} is lower; {str} is upper; {any} is escaped; {num} is gt 1; {num} is
        lt({num}); {num} is ge({num}); {num} is le 2; 'upper' is filter; {str} is test; {str}.startswith({str});
        {str}.endswith({str}); {str}.endswith(({str},{str})); {str}.startswith({str},{num}); {str}.isdigit();
        {str}.isalpha(); {str}.isalnum(); {str}.isspace(); {str}.isupper(); {str}.islower(); {str}.isnumeric();
        {str}.isdecimal(); {str}.istitle(); {str}.isascii(); loop.first; loop.last; loop.changed({any});
        {any}|select|first; {dict}.items is callable; {list}.append is defined; nope is defined; loop is defined;
        not {any} is defined; {any} is not defined and {bool}; {bool} or {bool}; {bool} and not {bool}; {any} is
        string or {any} is none; ({bool} if {bool} else {bool})""",
    "ms": """ms; ms; ms; ms[1:]; ms[::-1]; ms[:{num}]; {any}; []; [{dict}]""",
    "any": """{num}; {num}; {str}; {str}; {str}; {list}; {list}; {dict}; {bool}; none; nope; d.nope; l[9]; n; x; y; i;
        namespace(x={any}); {str}|safe; m; caller; loop; {list}|map('string'); {list}|select; {dict}.items();
        {dict}.keys(); {dict}.values(); {list}|reverse; {list}|batch(2); range(3); (({any})); ({any} if {bool});
        {any}|default({any}); ({any})|first; {any}[{any}]; {any}.role; {any}.x; {any}|attr('x'); {any}|first;
        {any}|last; {dict}|items; {any}|tojson; {any}|string; {num}.real; {list}.sort;
        s.__class__; d._x; -{any}; +{any}""",
}
RULES = {kind: [" ".join(rule.split()) for rule in rules.split(";")] for kind, rules in RULES.items()}

# Statements; {body} for several of them.
STATEMENTS = """\
    {{ {any} }}; {{ {any} }}; {{- {str} }}; {{ {str} -}}; {{ {any} }}\\n; text; {space};
    {space}; <b>; é\\n; {% if {bool} %}{body}{% endif %}; {% if {any} %}{body}{% else %}{body}{% endif %};
    {%- if {bool} -%}{body}{%- elif {any} %}{body}{%+ else -%}{body}{% endif +%};
    {% for i in {list} %}{body}{% endfor %};
    {% for i in {any} if {bool} %}{body}{% else %}{body}{% endfor %};
    {% for x, y in {dict}.items() %}{{ x }}{{ y }}{body}{% endfor %};
    {% for x, y in ll %}{body}{% endfor %};
    {%- for i in {list} %}{% if {bool} %}{% break %}{% endif %}{body}{% if {bool} %}{% continue %}{%
    endif %}{body}{% endfor %};
    {% for i in ms %}{{ i.role }}{% set x = i.c %}{{ x }}{% if not loop.last %}{{ loop.index }}{%
    endif %}{body}{% endfor %}; {% set x = {any} %}; {% set x = {any} -%}; {% set x, y = {any}, {num} %};
    {% set x, y = {list} %}; {% set y = {str} %}; {% set x %}{body}{% endset %};
    {% set x | upper %}{body}{% endset %}; {% set x | replace('o', 'q') | trim %}{body}{% endset %};
    {% set ns = namespace(x={any}, y={num}) %}; {% set ns.x = {any} %}; {% set ns.y = ns.y + {num} %};
    {% macro m(a, b={any}) %}{body}{% endmacro %};
    {% macro m(a=b, x=x, b={any}) %}{{ a }}{{ b }}{{ x }}{% endmacro %};
    {% macro m(a='q', b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{body}{% endmacro %};
    {% macro m(x) %}{{ caller({any}) }}{body}{% endmacro %}; {% call m({any}) %}{body}{% endcall %};
    {% call(y) m({any}) %}{body}{% endcall %}; {% filter upper %}{body}{% endfilter %};
    {% filter trim | indent(2) %}{body}{% endfilter %}; {% with x = {any}, y = x %}{body}{% endwith %};
    {% with %}{body}{% endwith %}; {% generation %}{body}{% endgeneration %}; {# {str} #}; {#- c -#};
    \\n {# c #}\\n; {% raw %}{{ a }}{% endraw %}; {% raw -%} {% if %} {%- endraw %};
    {% for i in {list} recursive %}{{ i }}{body}{% endfor %};
    {% for i in [1,[2,[3]]] recursive %}{{ loop.depth }}{% if i is iterable %}{{ loop(i) }}{% else
    %}{{ i }}{% endif %}{body}{% endfor %}; {% if {bool} %}{% set x = {any} %}{% endif %}{{ x }}"""
STATEMENTS = [" ".join(rule.strip(" ").split()).replace("\\n", "\n") for rule in STATEMENTS.split(";")]
BEGINNINGS = ["", "{% set ns = namespace(x='p', y=2) %}",
              "{% macro m(a=1, b='q') %}{{ a }}-{{ b }}{{ caller(5) if caller }}{{ varargs }}{% endmacro %}"
              "{% set ns = namespace(x=[1], y=3) %}{% set x, y, i = 'xy', 4, 'i' %}"]
SIGNS = ["", "", "-", "+"]  # of how white space before or after a tag is taken
SPACES = [" ", "\n", "\n\n", "  \n ", "\t", "\n    "]


class Grammar:
    def __init__(self, r):
        self.r = r
        self.left = r.choice([1, 2, 3, 4, 6, 10, 25])  # expressions and statements that may still be

    def __getitem__(self, kind):
        """A part of a template, of that kind."""
        if kind == "space":
            return self.r.choice(SPACES)
        if kind == "body":
            return "".join(self.statement() for _ in range(self.r.choice([1, 1, 2, 3])))
        self.left -= 1
        if kind in ("any", "ms") and self.left < 0:
            kind = self.r.choice(list(KINDS)) if kind == "any" else "list"
        elif kind in KINDS and self.r.random() < .03:
            kind = "any"
        if self.left < 0 or (kind in KINDS and self.r.random() < .25):
            return self.r.choice(KINDS.get(kind, ["true", "false"]))
        return self.make(self.r.choice(RULES[kind]))

    def make(self, rule):
        return "".join(self.part(p) for p in PARTS.findall(rule))

    def part(self, p):
        return self[p[1:-1]] if p[1:-1] in NAMES else p

    def statement(self):
        self.left -= 1
        return self.make(self.r.choice(STATEMENTS)) if self.left > 0 else "{{ " + self["any"] + " }}"


NAMES = set(RULES) | {"body", "space"}
PARTS = re.compile(r"\{[a-z]+\}|.", re.DOTALL)


def random_template(seed):
    g = Grammar(random.Random(seed))
    text = g.r.choice(BEGINNINGS) + "".join(g.statement() for _ in range(g.r.randint(1, 3)))
    if g.r.random() < .8:
        return text
    text = re.sub(r"\{[{%#](?![-+])", lambda m: m[0] + g.r.choice(SIGNS), text)
    return re.sub(r"(?<![-+])[}%#]\}", lambda m: g.r.choice(SIGNS) + m[0] + g.r.choice(["", "", "\n", " \n  "]), text)


def randoms(render, n, seed):
    count = Count()
    for i in range(seed, seed + n):
        count.compare(render, random_template(i), [VARIABLES], 50)
    return count


def main():
    def too_long(_signal, _frame):
        raise TimeoutError

    if len(sys.argv) < 5 or sys.argv[2] not in ("random", "chats"):
        sys.exit(__doc__)
    signal.signal(signal.SIGALRM, too_long)
    render, what, n, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    count = chats(render, n, seed, sys.argv[5:]) if what == "chats" else randoms(render, n, seed)
    for why, times in count.refused.most_common():
        print(f"{times:6} {why}")
    print(count)
    sys.exit(count.different > 0)


if __name__ == "__main__":
    main()
