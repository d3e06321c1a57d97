/* test_jinja.c - the interpreter of chat templates: what each construct gives, what is refused and with which words,
 * and how soon what is endless ends.
 *
 * Texts in the table are what Python's jinja2 3.1.6 gives in the settings that jinja.h names.
 */
#include "../tools/formats/jinja.h"
#include "../tools/shared/files.h"
#include "checkpoint.c"
#include "reference.c"
#include "test.h"

#include <time.h>

static const char variables[] =
    "{\"a\":1,\"b\":\"x\",\"l\":[3,1,2],\"d\":{\"k\":\"v\",\"items\":2,\"B\":1},\"n\":null,\"t\":true,"
    "\"ms\":[{\"role\":\"user\",\"c\":\" hi \"},{\"role\":\"a\",\"c\":\"Q\",\"x\":{\"y\":5}}],"
    "\"s\":\"Hello World\",\"u\":\"\\u00e9\\u65e5\"}";

/* A template and its text; a text of NULL: the name of the tests that follow. */
static const struct {
    const char *template, *text;
} cases[] = {
    {"numbers", NULL},
    {"{{ 1 }} {{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1_000 }} {{ 1e3 }} {{ 1e100 }} {{ 5e-324 "
     "}}",
     "1 1.0 1e+16 1000000000000000.0 0.0001 1e-05 1000 1000.0 1e+100 5e-324"},
    {"{{ 1/3 }} {{ 0.1 + 0.2 }} {{ 123456789.123 }} {{ 1.7976931348623157e308 }} {{ -0.0 }} {{ 4/2 }}",
     "0.3333333333333333 0.30000000000000004 123456789.123 1.7976931348623157e+308 -0.0 2.0"},
    {"{{ 7//2 }} {{ -7//2 }} {{ -7%3 }} {{ 7%-3 }} {{ 7.5//2 }} {{ -7.5%2 }} {{ -7.5//2 }} {{ 3.0*2 }}",
     "3 -4 2 -2 3.0 0.5 -4.0 6.0"},
    {"{{ 2**10 }} {{ 2**-1 }} {{ 2**3**2 }} {{ -2**2 }} {{ 2.0**3 }} {{ (-1)**3 }} {{ 0**0 }}",
     "1024 0.5 64 4 8.0 -1 1"},
    {"{{ 10 // 3 * 3 + 10 % 3 }} {{ (2 * 3) ** 2 }} {{ 5 - 2 - 1 }} {{ 100 / 10 / 2 }} {{ +5 }} {{ - 5 }} {{ --5 }}",
     "10 36 2 5.0 5 -5 5"},
    {"{{ true + 1 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 1 < 2.5 }} {{ -9 }}", "2 True True True -9"},
    {"values as texts", NULL},
    {"{{ [1,2.5,'a',\"it's\",'\"',none,true,(1,),(1,2),(),{},{'a':[1]}] }}",
     "[1, 2.5, 'a', \"it's\", '\"', None, True, (1,), (1, 2), (), {}, {'a': [1]}]"},
    {"{{ ['a\\'b\"c\\n\\t\\\\\\x01\\u00e9\\u00ad\\u200b'] }}{{ 'a\\'b\"c' }}",
     "['a\\'b\"c\\n\\t\\\\\\x01\303\251\\xad\\u200b']a'b\"c"},
    {"{{ True }}{{ False }}{{ None }}{{ true and false }}{{ none is none }}", "TrueFalseNoneFalseTrue"},
    {"{{ d }}{{ l }}{{ ms[1] }}{{ range(3) }}{{ range(1,9,2) }}{{ [nope] }}{{ [('<'|safe)] }}",
     "{'k': 'v', 'items': 2, 'B': 1}[3, 1, 2]{'role': 'a', 'c': 'Q', 'x': {'y': 5}}range(0, 3)range(1, 9, "
     "2)[Undefined][Markup('<')]"},
    {"literals of texts", NULL},
    {"{{ 'a' 'b' \"c\" }}{{ '\\u00e9\\x41\\101\\n\\t\\r\\a\\b\\f\\v\\0' }}{{ '\\q\\\\' }}{{ \"\\\"\" }}{{ "
     "'\\U0001F600' }}",
     "abc\303\251AA\n\t\r\007\010\014\013\000\\q\\\"\360\237\230\200"},
    {"{{ 'ab\\\ncd' }}{{ '%d' }}{{ '{{' }}{{ '%}' }}{{ \"}}\" }}{{ '#}' }}", "abcd%d{{%}}}#}"},
    {"lists, tuples, dicts", NULL},
    {"{{ (1, 2)[0] }}{{ (1,2) }}{{ () }}{{ [] }}{{ {} }}{{ 1, 2 }}{{ [1,2,3,]|length }}{{ {'a':1,}|length }}",
     "1(1, 2)()[]{}(1, 2)31"},
    {"{{ {'a': {'b': {}}} }}{{ {'a':{}}}}", "{'a': {'b': {}}}{'a': {}}"},
    {"{{ {1:2}[1] }}{{ {'a':1}.a }}{{ {1.0: 'x'}[1] }}{{ {true: 'x'}[1] }}{{ {'a':1,'a':2} }}", "21xx{'a': 2}"},
    {"{{ [1] * 2 }}{{ [1] + [2] }}{{ (1,) + (2,) }}{{ 2 * 'x' }}{{ 'ab' * 2 }}{{ 'x' * -1 }}",
     "[1, 1][1, 2](1, 2)xxabab"},
    {"{{ l == [3,1,2] }}{{ d == {'k':'v','B':1,'items':2} }}{{ l != l }}{{ (1,2) == [1,2] }}{{ none == false }}",
     "TrueTrueFalseFalseFalse"},
    {"subscripts and slices", NULL},
    {"{{ l[0] }}{{ l[-1] }}{{ l[9] }}{{ u[0] }}{{ u[-1] }}{{ l[true] }}{{ l['0'] }}{{ l[1.0] }}{{ s[20] }}",
     "32\303\251\346\227\2451"},
    {"{{ l[1:] }}{{ l[:-1] }}{{ l[::-1] }}{{ l[::2] }}{{ l[5:1] }}{{ l[2:0:-1] }}{{ l[-1:-3:-1] }}{{ l[:] }}{{ "
     "l[none:1] }}",
     "[1, 2][3, 1][2, 1, 3][3, 2][][2, 1][2, 1][3, 1, 2][3]"},
    {"{{ s[1:4] }}{{ s[::-1] }}{{ s[-3:] }}{{ s[100:] }}{{ s[-100:2] }}{{ u[1:] }}{{ u[::-1] }}{{ s[::3] }}",
     "elldlroW olleHrldHe\346\227\245\346\227\245\303\251HlWl"},
    {"{{ ms[0].role }}{{ ms[0]['c'].strip() }}{{ ms[1].x.y }}{{ ms[-1]['role'][0] }}{{ ms.0.role }}{{ range(10)[3] }}",
     "userhi5auser3"},
    {"attributes, items, methods of a dict", NULL},
    {"{{ d['items'] }}{{ d.items is callable }}{{ d.k }}{{ d.nope }}{{ d['nope'] is defined }}{{ d.k.z }}",
     "2TruevFalse"},
    {"{{ d.get('k') }}{{ d.get('z') }}{{ d.get('z', 5) }}{{ d.keys()|list }}{{ d.values()|list }}{{ d.items()|list }}",
     "vNone5['k', 'items', 'B']['v', 2, 1][('k', 'v'), ('items', 2), ('B', 1)]"},
    {"{{ d.items()|length }}{{ dict(a=1, b=2) }}{{ dict(d, z=1) }}{{ d.copy() == d }}",
     "3{'a': 1, 'b': 2}{'k': 'v', 'items': 2, 'B': 1, 'z': 1}True"},
    {"undefined", NULL},
    {"{{ nope }}{{ nope|length }}{{ nope|list }}{{ nope|default('z') }}{{ nope ~ 'a' }}{{ nope == nope2 }}{{ 'a' in "
     "nope }}",
     "0[]zaTrueFalse"},
    {"{% for x in nope %}1{% else %}none{% endfor %}{{ nope|trim }}{{ nope|join }}{{ nope|upper }}{{ not nope }}",
     "noneTrue"},
    {"operators", NULL},
    {"{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 'a' < 'b' }}{{ [1,2] < [1,3] }}{{ 1 in l }}{{ 9 not in l }}{{ 'k' in d }}{{ "
     "'lo' in s }}",
     "TrueFalseTrueTrueTrueTrueTrueTrue"},
    {"{{ not 1 }}{{ not a == 2 }}{{ 1 and 2 }}{{ 0 or '' or 'z' }}{{ 0 and 1 }}{{ 'a' >= 'b' }}{{ 2 <= 2 }}{{ 1 != 2 "
     "}}",
     "FalseTrue2z0FalseTrueTrue"},
    {"{{ 1 ~ 2 * 3 }}{{ 'a' ~ 1 ~ none ~ [1] }}{{ s ~ nope ~ n }}{{ -2|abs }}{{ l|length - 1 }}",
     "16a1None[1]Hello WorldNone22"},
    {"{{ 'a' in ['a'] and 'b' not in 'abc' }}{{ 'a' in {'a': 1} }}{{ 1 in (1,2) }}{{ n in [none] }}",
     "FalseTrueTrueTrue"},
    {"{{ 'a' if t else 'b' }}{{ 'a' if not t }}{{ 'a' if not t else 'c' if n else 'd' }}{{ ('a' if n) is defined }}",
     "adFalse"},
    {"{{ a if a else b ~ 'z' }}{{ 'x' if nope is defined and nope else 'y' }}{{ nope.x if nope else 'q' }}", "1yq"},
    {"if, set, with", NULL},
    {"{% if a == 1 and (b == 'x' or n) %}1{% elif b %}2{% else %}3{% endif %}", "1"},
    {"{% if n %}1{% elif nope %}2{% elif b %}2.5{% else %}3{% endif %}{% if n %}1{% elif not a %}2{% else %}3{% endif "
     "%}",
     "2.53"},
    {"{% if true %}{% set z = 1 %}{% endif %}{{ z }}{% if false %}{% set w = 1 %}{% endif %}{{ w }}", "1"},
    {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set x = 1, 2 %}{{ x }}{% set (c, d) = (b, a) %}{{ c }}{{ d }}",
     "12(1, 2)21"},
    {"{% set x %}a{{ 1 }}b{% endset %}{{ x }}{% set y | upper | replace('A','z') %}a{{ 1 }}b{% endset %}{{ y }}",
     "a1bz1B"},
    {"{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.nope is "
     "defined }}",
     "6False"},
    {"{% set ns = namespace() %}{% set ns.a, x, ns.b = 1, 2, 3 %}{{ ns.a }}{{ x }}{{ ns.b }}{{ self is defined }}",
     "123True"},
    {"{% set ns = namespace(d, q=1) %}{{ ns.k }}{{ ns['q'] }}{{ ns is mapping }}", "v1False"},
    {"{% with q = 1, r = 2 %}{{ q }}{{ r }}{% endwith %}{{ q }}", "12"},
    {"{% generation %}x{{ a }}{% set q = 3 %}{% endgeneration %}{{ q }}", "x1"},
    {"{% filter upper %}abc{{ b }}{% endfilter %}{% filter replace('b','y')|upper %}abc{% endfilter %}", "ABCXAYC"},
    {"for", NULL},
    {"{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}|{% endfor %}",
     "10TrueFalse3|21FalseFalse3|32FalseTrue3|"},
    {"{% for i in l %}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}|{% "
     "endfor %}",
     "3211|21321|1011|"},
    {"{% for i in [1,1,2] %}{{ loop.cycle('a','b') }}{{ loop.changed(i) }}{% endfor %}", "aTruebFalseaTrue"},
    {"{% for i in l if i > 1 %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% else %}none{% endfor %}", "1/2:3 2/2:2 "},
    {"{% for i in l if i > 9 %}x{% else %}none{% endfor %}", "none"},
    {"{% set ns = namespace(on=true) %}{% for i in l if ns.on %}{{ i }}{% set ns.on = false %}{% endfor %}", "3"},
    {"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
     "k=v;items=2;B=1;kitemsB"},
    {"{% for a, b in [(1,2),[3,4]] %}{{ a+b }}{% endfor %}{% for (a, b), c in [((1,2),3)] %}{{ a+b+c }}{% endfor %}",
     "376"},
    {"{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% "
     "endfor %}",
     "0134"},
    {"{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "4231"},
    {"{{ loop is defined }}{% for i in l %}{% for j in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
     "False123112321233"},
    {"{% for i in l %}{% set outer = loop %}{% for j in l %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}",
     "111213212223313233"},
    {"{% for c in u %}{{ c }},{% endfor %}{% for i in range(5,0,-2) %}{{ i }}{% endfor %}{% for i in 1, 2 %}{{ i }}{% "
     "endfor %}",
     "\303\251,\346\227\245,53112"},
    {"{% for i in [1,[2,[3]],4] recursive %}{{ loop.depth }}{{ loop.depth0 }}{{ loop.index }}{% if i is iterable %}({{ "
     "loop(i) }}){% else %}{{ i }}{% endif %};{% endfor %}",
     "1011;102(2112;212(3213;););1034;"},
    {"{% set x = 1 %}{% for i in l recursive %}{{ x }}{% set x = i %}{% if loop.first and loop.depth < 3 %}{{ "
     "loop([7]) }}{% else %}-{{ loop([]) }}{% endif %}{% else %}none{% endfor %}{{ x }}",
     "111-none1-none1-none1"},
    {"macros", NULL},
    {"{% macro f(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1,2,3,4,5,z=6) }}{{ "
     "f() }}",
     "123(4, 5){'z': 6}2x(){}"},
    {"{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f(b=2, a=3) }}", "1132"},
    {"{% macro f(a) %}[{{ caller() }}]{% endmacro %}{% call f(1) %}body{{ a }}{% endcall %}", "[body1]"},
    {"{% macro f() %}[{{ caller(1, 2) }}]{% endmacro %}{% call(x, y) f() %}{{ x }}{{ y }}{% endcall %}", "[12]"},
    {"{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(5) }}", "54321"},
    {"{% set a = 1 %}{% macro f(a=a, b=b) %}[{{ a }}{{ b }}]{{ kwargs }}{% endmacro %}{{ f() }}{{ f(b=5) }}{{ f(2, "
     "z=1, "
     "y=2, b=3, x=4) }}{{ f(1, a=2) }}",
     "[]{}[5]{}[23]{'z': 1, 'y': 2, 'x': 4}[1]{'a': 2}"},
    {"{% macro f(a=b, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f() }}{{ f(b=5) }}{{ f(1) }}", "25512"},
    {"{% macro f(a, varargs, caller=5) %}{{ varargs }}{{ kwargs }}{{ caller }}{% endmacro %}{{ f(1, 2, z=3) }}",
     "2{'z': 3}5"},
    {"{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}{% for x in l %}{{ m() }}{% endfor %}", "5555"},
    {"{% macro f() %}{% macro g() %}{{ varargs }}{% endmacro %}{{ g(7) }}{% endmacro %}{{ f(1, 2) }}", "(7,)"},
    {"{% for i in l %}{% macro loop2(loop) %}{{ loop }}{% endmacro %}{{ loop2(i) }}{% endfor %}", "312"},
    {"methods of texts", NULL},
    {"{{ s.upper() }}{{ s.lower() }}{{ \"it's a-b\".title() }}{{ 'hELLO wORLD'.capitalize() }}{{ u.upper() }}",
     "HELLO WORLDhello worldIt'S A-BHello world\303\211\346\227\245"},
    {"{{ ' a '.strip() }}|{{ 'xxaxx'.strip('x') }}{{ 'xyaxy'.lstrip('xy') }}{{ 'xyaxy'.rstrip('xy') }}{{ "
     "'\\u00a0\\u3000a\\n'.strip() }}",
     "a|aaxyxyaa"},
    {"{{ s.split() }}{{ s.split('o') }}{{ s.split('o', 1) }}{{ ' a  b '.split() }}{{ ' a b c '.split(none, 1) }}{{ "
     "''.split('x') }}",
     "['Hello', 'World']['Hell', ' W', 'rld']['Hell', ' World']['a', 'b']['a', 'b c ']['']"},
    {"{{ s.startswith('He') }}{{ s.endswith(('x','ld')) }}{{ s.replace('l','L') }}{{ s.replace('l','L',1) }}",
     "TrueTrueHeLLo WorLdHeLlo World"},
    {"{{ s.find('o') }}{{ s.rfind('o') }}{{ s.find('z') }}{{ u.find('\\u65e5') }}{{ s.count('l') }}{{ ', "
     "'.join(['a','b']) }}",
     "47-113a, b"},
    {"{{ 'a\\nb\\r\\nc\\n'.splitlines() }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}{{ ' '.isspace() "
     "}}",
     "['a', 'b', 'c']bcabTrue"},
    {"{{ 'abc'.isdigit() }}{{ '12'.isdigit() }}{{ 'ab'.isalpha() }}{{ 'a1'.isalnum() }}{{ 'AB1'.isupper() }}{{ "
     "'1'.islower() }}",
     "FalseTrueTrueTrueTrueFalse"},
    {"{{ 'a-b-c'.rsplit('-', 1) }}{{ 'aaa'.rsplit('aa') }}{{ 'aaa'.rsplit('aa', 1) }}{{ 'a b'.rsplit() }}{{ "
     "'ab'.rsplit('c', 3) }}",
     "['a-b', 'c']['a', '']['a', '']['a', 'b']['ab']"},
    {"{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'a'.partition('-') }}{{ 'a'.rpartition('-') }}",
     "('a', '-', 'b-c')('a-b', '-', 'c')('a', '', '')('', '', 'a')"},
    {"{{ s.index('o') }}{{ s.rindex('o') }}{{ 'aaa'.rfind('aa') }}{{ 'ab'.rfind('') }}{{ u.rfind('\\u65e5') }}{{ "
     "''.rfind('a') }}{{ '12'.isdecimal() }}",
     "47121-1True"},
    {"{{ [1,2,1].count(1) }}{{ [1,2].index(2) }}{{ (1,2,true).count(1) }}{{ (1,'a').index('a') }}", "2121"},
    {"{{ l.append is defined }}{{ d.pop }}{% for x in l.sort %}1{% endfor %}{{ l.copy()|length }}", "False3"},
    {"filters of texts", NULL},
    {"{{ '  x '|trim }}{{ 'xax'|trim('x') }}{{ 5|string + 'a' }}{{ s|length }}{{ u|length }}{{ s|upper }}{{ s|lower }}",
     "xa5a112HELLO WORLDhello world"},
    {"{{ 'hello wORLD-foo (bar)'|title }}{{ 'aB'|capitalize }}{{ 'aXbX'|replace('X','y',1) }}{{ s|reverse }}{{ s|first "
     "}}{{ s|last }}",
     "Hello World-Foo (Bar)AbaybXdlroW olleHHd"},
    {"{{ 'a\\nb\\n\\nc\\n'|indent }}|{{ 'a\\nb'|indent(2, true) }}|{{ 'a\\n\\nb'|indent(2, false, true) }}|{{ "
     "'a\\nb'|indent('> ') }}",
     "a\n    b\n\n    c\n|  a\n  b|a\n  \n  b|a\n> b"},
    {"{{ '<\"&>'|escape }}{{ '<'|safe }}{{ ('<'|safe) + '>' }}{{ '<' + ('>'|safe) }}{{ ('<'|safe) ~ '>' }}{{ "
     "'<'|e|upper }}",
     "&lt;&#34;&amp;&gt;<<&gt;&lt;><>&LT;"},
    {"{{ [('<b>'|safe)[0], ('<b>'|safe)[1:], ('<'|safe) * 2, ('<'|safe)|reverse, ('<'|safe)|upper, ('<'|safe)|first] "
     "}}{{ 'a' is escaped }}{{ ('a'|safe) is escaped }}",
     "[Markup('<'), Markup('b>'), Markup('<<'), Markup('<'), Markup('<'), '<']FalseTrue"},
    {"tojson", NULL},
    {"{{ s|tojson }}{{ d|tojson }}{{ u|tojson }}{{ u|tojson(ensure_ascii=true) }}{{ "
     "'<a>&\\'\"\\\\\\n\\t\\x01\\x7f'|tojson }}",
     "\"Hello World\"{\"k\": \"v\", \"items\": 2, \"B\": "
     "1}\"\303\251\346\227\245\"\"\\u00e9\\u65e5\"\"<a>&'\\\"\\\\\\n\\t\\u0001\177\""},
    {"{{ [1.0,1e20,none,true,(1,)]|tojson }}{{ {'b':1,'a':2}|tojson(sort_keys=true) }}{{ "
     "d|tojson(separators=(',',':')) }}",
     "[1.0, 1e+20, null, true, [1]]{\"a\": 2, \"b\": 1}{\"k\":\"v\",\"items\":2,\"B\":1}"},
    {"{{ d|tojson(indent=2) }}{{ ms[1]|tojson(indent=1) }}{{ []|tojson(indent=2) }}{{ {1:2,none:3,true:4}|tojson }}",
     "{\n  \"k\": \"v\",\n  \"items\": 2,\n  \"B\": 1\n}{\n \"role\": \"a\",\n \"c\": \"Q\",\n \"x\": {\n  \"y\": 5\n "
     "}\n}[]{\"1\": 4, \"null\": 3}"},
    {"filters of numbers", NULL},
    {"{{ '5'|int + 1 }}{{ 'x'|int }}{{ 'x'|int(7) }}{{ '4.7'|int }}{{ 4.9|int }}{{ -4.9|int }}{{ ' 12 '|int }}{{ "
     "none|int }}",
     "60744-4120"},
    {"{{ 'inf'|float }}{{ '-Infinity'|float }}{{ ' NaN '|float }}{{ 'inf'|int }}{{ 'nan'|int(3) }}{{ '1e999'|float "
     "}}{{ "
     "'in'|float }}",
     "inf-infnan03inf0.0"},
    {"{{ '1.5'|float }}{{ 'x'|float }}{{ 3|float }}{{ -3|abs }}{{ 2.5|round }}{{ 3.5|round }}{{ 2.567|round(2) }}{{ "
     "5|round }}",
     "1.50.03.032.04.02.575"},
    {"{{ 2.1|round(0,'ceil') }}{{ 2.9|round(method='floor') }}", "3.02.0"},
    {"filters of sequences", NULL},
    {"{{ l|sort }}{{ l|sort(reverse=true) }}{{ ['b','A','c']|sort }}{{ ['b','A','c']|sort(case_sensitive=true) }}",
     "[1, 2, 3][3, 2, 1]['A', 'b', 'c']['A', 'b', 'c']"},
    {"{{ ms|sort(attribute='role')|map(attribute='role')|join(',') }}{{ [1,1,2]|unique|list }}{{ ['a','A']|unique|list "
     "}}",
     "a,user[1, 2]['a']"},
    {"{{ l|min }}{{ l|max }}{{ l|first }}{{ l|last }}{{ []|first }}{{ l|reverse|list }}{{ [1,'a',none]|join('-') }}{{ "
     "l|count }}",
     "1332[2, 1, 3]1-a-None3"},
    {"{{ d|items|list }}{{ d|list }}{{ d|dictsort }}{{ d|dictsort(true) }}{{ {'a':2,'b':1}|dictsort(by='value') }}",
     "[('k', 'v'), ('items', 2), ('B', 1)]['k', 'items', 'B'][('B', 1), ('items', 2), ('k', 'v')][('B', 1), ('items', "
     "2), ('k', 'v')][('b', 1), ('a', 2)]"},
    {"{{ n|default('x') }}{{ n|default('x', true) }}{{ ''|d('y', boolean=true) }}{{ d.zz|default }}{{ ms|join(',', "
     "attribute='role') }}",
     "Nonexyuser,a"},
    {"{{ ms|selectattr('role','equalto','user')|list }}{{ ms|selectattr('x')|list|length }}{{ l|select('>', 1)|list }}",
     "[{'role': 'user', 'c': ' hi '}]1[3, 2]"},
    {"{{ ms|rejectattr('role','==','user')|map(attribute='c')|list }}{{ l|select('odd')|list }}{{ l|reject('odd')|list "
     "}}",
     "['Q'][3, 1][2]"},
    {"{{ ms|selectattr('x.y','defined')|list|length if false }}{{ ms|selectattr('x','defined')|list|length }}{{ "
     "n|select|list }}",
     "1[]"},
    {"{{ ms|map(attribute='zz', default='q')|list }}{{ ['a','b']|map('upper')|join }}{{ [[1,2],[3]]|map('join', "
     "'-')|list }}",
     "['q', 'q']AB['1-2', '3']"},
    {"{% set g = l|select('odd') %}{{ g|list }}{{ g|list }}{% set g = l|map('string') %}{{ g|first }}{{ g|list }}",
     "[3, 1][]3['1', '2']"},
    {"{{ l|sum }}{{ l|sum(start=10) }}{{ [{'v':1},{'v':2}]|sum('v') }}{{ [[1],[2]]|sum(start=[]) }}{{ nope|sum }}",
     "6163[1, 2]0"},
    {"{{ l|batch(2)|list }}{{ l|batch(2,'-')|list }}{{ l|batch(0)|list }}{{ l|batch(-1)|list }}{{ []|batch(0)|list }}",
     "[[3, 1], [2]][[3, 1], [2, '-']][[], [3, 1, 2]][[3, 1, 2]][]"},
    {"{{ range(7)|slice(3)|list }}{{ range(7)|slice(3,'-')|list }}{{ l|slice(-1)|list }}{{ l|slice(5,0)|list }}",
     "[[0, 1, 2], [3, 4], [5, 6]][[0, 1, 2], [3, 4, '-'], [5, 6, '-']][][[3], [1], [2], [0], [0]]"},
    {"{{ ms|map(attribute='x.y', default='q')|list }}{{ ms|map(attribute='x.y', default={'y':2})|list }}{{ "
     "ms|map(attribute='x.y', default=none)|list|length if 0 }}",
     "['q', 5][2, 5]"},
    {"{{ [{'a':2,'b':1},{'a':1,'b':2},{'a':1,'b':1}]|sort(attribute='a,b') }}{{ ms|sort(attribute='zz')|length }}{{ "
     "[none,none]|sort }}",
     "[{'a': 1, 'b': 1}, {'a': 1, 'b': 2}, {'a': 2, 'b': 1}]2[None, None]"},
    {"{{ [((1,),2),((1,),2)]|unique|list }}{{ {((1,),2): 3}[((1,),2)] }}", "[((1,), 2)]3"},
    {"tests", NULL},
    {"{{ a is defined }}{{ nope is undefined }}{{ n is none }}{{ s is string }}{{ d is mapping }}{{ l is mapping }}{{ "
     "1 is not number }}",
     "TrueTrueTrueTrueTrueFalseFalse"},
    {"{{ s is iterable }}{{ l is sequence }}{{ d is sequence }}{{ d.items() is sequence }}{{ range(2) is sequence }}{{ "
     "a is iterable }}",
     "TrueTrueTrueFalseTrueFalse"},
    {"{{ true is number }}{{ true is integer }}{{ 1.0 is float }}{{ t is boolean }}{{ t is true }}{{ 1 is true }}{{ t "
     "is false }}",
     "TrueFalseTrueTrueTrueFalseFalse"},
    {"{{ 3 is odd }}{{ 3 is even }}{{ 4 is divisibleby 2 }}{{ 1 is eq 1 }}{{ 1 is equalto(2) }}{{ 1 is in [1] }}{{ 2 "
     "is lt 3 }}{{ 2 is ge 3 }}",
     "TrueFalseTrueTrueFalseTrueTrueFalse"},
    {"{{ 'a' is lower }}{{ 'A' is upper }}{{ range is callable }}{{ 'upper' is filter }}{{ 'zz' is filter }}{{ 'odd' "
     "is test }}",
     "TrueTrueTrueTrueFalseTrue"},
    {"{{ 2.5 is odd }}{{ 3.0 is odd }}{{ 4.0 is even }}{{ true is odd }}{{ 5 is divisibleby 2.5 }}{{ -3 is odd }}{{ "
     "2.5 is divisibleby(2) }}",
     "FalseTrueTrueTrueTrueTrueFalse"},
    {"{{ n is sameas none }}{{ t is sameas true }}{{ t is sameas false }}{{ 1 is sameas true }}{{ 'a' is sameas none "
     "}}{{ nope is sameas none }}",
     "TrueTrueFalseFalseFalseFalse"},
    {"{{ a|foo if 0 }}{% if 0 %}{{ a|foo is bar }}{{ 1 if a is bar }}{% endif %}{% if a %}x{% elif a is bar %}{% endif "
     "%}",
     "x"},
    {"strftime_now", NULL},
    {"{{ strftime_now('%d %b %Y %B %A %a %j %-d %y %H:%M:%S %p %I %% %F %T %e') }}",
     "26 Jul 2024 July Friday Fri 208 26 24 00:00:00 AM 12 % 2024-07-26 00:00:00 26"},
    {"white space", NULL},
    {"{% if a %}  x\n{% endif %}\n  {% if a %}\ny\n  {% endif %}\n z {% if a -%}   q   {%- endif %}  w\n\t{%+ if a "
     "%}k{%+ endif %}\n{%- if a +%}\nm\n{% endif -%}  \n\n end\n",
     "  x\ny\n z q  w\n\tk\nm\nend"},
    {"a {# c #} b {#- c -#} d\n{# x #}\n  {# y #}\ne {#- #}#}", "a  bd\ne#}"},
    {"{% raw %}{{ x }}{% if %}{% endraw %}\n{% raw -%}  \n a {%- endraw %} b\n  {% raw %} r {% endraw -%}  z",
     "{{ x }}{% if %}a b\n r z"},
    {"{{- 'a' -}}   {{ 'b' -}}\n {{- ' c' }}\n  {{ 'd' }}\n", "ab c\n  d"},
    {"line\r\n{{ a }}\r{% if a %}{% endif %}\r\n\r\n", "line\n1\n"},
    {"{%if a%}1{%endif%}{%-if a-%} 2 {%-endif-%} 3", "123"},
    {"x\n  {% if a %}  {# c #}\n  y{% endif %}\n", "x\n    y"},
    {"", ""},
    {"\n", ""},
    {"\n\n", "\n"},
    {"  {%- if a %} {% endif +%}\n.", " \n."},
};

/* What is refused, with which result, and with which words after the name and line 1. JINJA_DONE: when it is parsed. */
static const struct {
    const char *template;
    jinja_result result;
    const char *message;
} refusals[] = {
    {"{{ raise_exception('no ' ~ a) }}", JINJA_RAISED, "no 1"},
    {"{{ nope.x }}", JINJA_ERROR, "'nope' is undefined"},
    {"{{ d.k.z.q }}", JINJA_ERROR, "attribute 'z' is undefined"},
    {"{{ nope + 'a' }}", JINJA_ERROR, "'nope' is undefined"},
    {"{{ nope() }}", JINJA_ERROR, "'nope' is undefined"},
    {"{{ nope|tojson }}", JINJA_ERROR, "'nope' is undefined"},
    {"{{ a() }}", JINJA_ERROR, "a int cannot be called"},
    {"{{ 1 + 'a' }}", JINJA_ERROR, "+ of a int and a str"},
    {"{{ 1 < 'a' }}", JINJA_ERROR, "'<' is not supported between a int and a str"},
    {"{{ 1/0 }}{{ 1 }}", JINJA_ERROR, "a division by zero"},
    {"{% for x in n %}{% endfor %}", JINJA_ERROR, "a NoneType cannot be gone through"},
    {"{{ {l: 1} }}", JINJA_ERROR, "a list as a key"},
    {"{% set a, b = [1] %}", JINJA_ERROR, "1 values for 2 names"},
    {"{% set n.x = 1 %}", JINJA_ERROR, "an attribute of what is no namespace is set"},
    {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", JINJA_ERROR, "macro f has no such argument"},
    {"{{ l.append(4) }}", JINJA_ERROR, "the method append changes a value, which transformers refuses"},
    {"{{ d.get(key='k') }}", JINJA_ERROR, "method get: no argument for key"},
    {"{{ l|join(',', z=1) }}", JINJA_ERROR, "filter join: an argument that it does not have"},
    {"{{ l|select('odd')|length }}", JINJA_ERROR, "a generator has no length"},
    {"{{ range(1000000000) }}", JINJA_ERROR, "range: more than 100000 numbers"},
    {"{% if a %}{{ s|foo }}{% endif %}", JINJA_ERROR, "unknown filter \"foo\""},
    {"{{ l|map('foo')|list }}", JINJA_ERROR, "unknown filter \"foo\""},
    {"{{ l|select('foo')|list }}", JINJA_ERROR, "unknown test \"foo\""},
    {"{{ s.zfill(3) }}", JINJA_UNSUPPORTED, "the method \"zfill\" is not supported"},
    {"{{ joiner(',') }}", JINJA_UNSUPPORTED, "the function \"joiner\" is not supported"},
    {"{{ '%s' % s }}", JINJA_UNSUPPORTED, "a text % values is not supported"},
    {"{{ 2**64 }}", JINJA_UNSUPPORTED, "a number beyond 64 bits is not supported"},
    {"{{ d.items() }}", JINJA_UNSUPPORTED, "a dict_view as a text is not supported"},
    {"{{ '\xC4\x9F'|upper }}", JINJA_UNSUPPORTED, "capitals of the character U+011F are not supported"},
    {"{{ strftime_now('%Q') }}", JINJA_UNSUPPORTED, "strftime_now: %Q is not supported"},
    {"{{ s|foo }}", JINJA_DONE, "unknown filter \"foo\""},
    {"{{ s|groupby('x') }}", JINJA_DONE, "the filter \"groupby\" is not supported"},
    {"{{ s is foo }}", JINJA_DONE, "unknown test \"foo\""},
    {"{% foo %}", JINJA_DONE, "unknown statement \"foo\""},
    {"{% include 'x' %}", JINJA_DONE, "the statement \"include\" is not supported"},
    {"{% for x in l %}{{ loop(x) }}{% endfor %}", JINJA_ERROR, "loop is called, but is not recursive"},
    {"{% for x in l recursive %}{{ loop(x, 1) }}{% endfor %}", JINJA_ERROR, "loop is not called with one value"},
    {"{% for x in l recursive %}{{ loop(l) }}{% endfor %}", JINJA_LIMIT, "nested more than 800 deep"},
    {"{% macro f(a, a) %}{% endmacro %}", JINJA_DONE, "a parameter twice"},
    {"{% macro f(caller) %}{{ caller }}{% endmacro %}", JINJA_DONE, "a parameter \"caller\" without a default"},
    {"{% for loop in l %}{% endfor %}", JINJA_DONE, "\"loop\" is assigned to inside of a loop"},
    {"{% for x in l %}{% set loop = 1 %}{% endfor %}", JINJA_DONE, "\"loop\" is assigned to inside of a loop"},
    {"{% for x in l recursive %}{% endfor %}{% for x in l %}{% for x in l recursive %}{% else %}{% break %}",
     JINJA_DONE, "outside of a loop: break"},
    {"{% if a %}{% for x in l %}{{ x|foo }}{% endfor %}{% endif %}", JINJA_DONE, "unknown filter \"foo\""},
    {"{% if 0 %}{% macro f(x=1|foo) %}{% endmacro %}{% endif %}", JINJA_DONE, "unknown filter \"foo\""},
    {"{% if 0 %}{% for x in l if x is foo %}{% endfor %}{% endif %}", JINJA_DONE, "unknown test \"foo\""},
    {"{% if 0 %}{% filter foo %}{% endfilter %}{% endif %}", JINJA_DONE, "unknown filter \"foo\""},
    {"{% if 0 %}{% set x | foo %}{% endset %}{% endif %}", JINJA_DONE, "unknown filter \"foo\""},
    {"{{ (1 if a) + (a is foo) }}", JINJA_DONE, "unknown test \"foo\""},
    {"{{ (1).bit_length() }}", JINJA_UNSUPPORTED, "the method \"bit_length\" is not supported"},
    {"{{ range(2).stop }}", JINJA_UNSUPPORTED, "the method \"stop\" is not supported"},
    {"{{ d.keys().mapping }}", JINJA_UNSUPPORTED, "the method \"mapping\" is not supported"},
    {"{% macro m() %}{% endmacro %}{{ m.name }}", JINJA_UNSUPPORTED, "the method \"name\" is not supported"},
    {"{{ s.startswith('e', 1) }}", JINJA_UNSUPPORTED, "method startswith: the argument start is not supported"},
    {"{{ s.splitlines(keepends=true) }}", JINJA_UNSUPPORTED,
     "method splitlines: the argument keepends is not supported"},
    {"{{ s.split(x=1) }}", JINJA_ERROR, "method split: an argument that it does not have"},
    {"{{ (s|safe).split() }}", JINJA_UNSUPPORTED, "the method split of a text that is marked as safe is not supported"},
    {"{{ (s|safe)|indent }}", JINJA_UNSUPPORTED, "indent of a text that is marked as safe is not supported"},
    {"{{ s.rsplit(none, 1) }}", JINJA_UNSUPPORTED, "rsplit at white space is not supported"},
    {"{{ s.rsplit('', 1) }}", JINJA_ERROR, "split by an empty text"},
    {"{{ s.partition('') }}", JINJA_ERROR, "partition by an empty text"},
    {"{{ s.index('z') }}", JINJA_ERROR, "index: it is nowhere"},
    {"{{ l.index(9) }}", JINJA_ERROR, "index: it is nowhere"},
    {"{{ 'a'|sum(start='') }}", JINJA_ERROR, "sum of texts"},
    {"{{ [0.5]|sum }}", JINJA_UNSUPPORTED, "sum of floats is not supported"},
    {"{{ l|slice(0) }}", JINJA_ERROR, "a division by zero"},
    {"{{ 1 is sameas 1 }}", JINJA_UNSUPPORTED, "sameas of two ints is not supported"},
    {"{{ d.keys() == d.keys() }}", JINJA_UNSUPPORTED, "comparing dict_views is not supported"},
    {"{{ {d.keys(): 1} }}", JINJA_UNSUPPORTED, "a dict_view as a key is not supported"},
    {"{{ a[1:] }}", JINJA_ERROR, "a slice of a int"},
    {"{{ d[:1] }}", JINJA_ERROR, "a slice of a dict"},
    {"{{ [l]|unique|list }}", JINJA_ERROR, "a list as a key"},
    {"{{ f(*l) }}", JINJA_DONE, "* and ** before an argument are not supported"},
    {"{% break %}", JINJA_DONE, "outside of a loop: break"},
    {"{% for x in l %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}", JINJA_DONE, "outside of a loop: break"},
    {"{% if a %}", JINJA_DONE, "the template ends where there should be: elif"},
    {"{% endif %}", JINJA_DONE, "unknown statement \"endif\""},
    {"{{ a b }}", JINJA_DONE, "\"b\" where }} is expected"},
    {"{{ ", JINJA_DONE, "the end where an expression is expected"},
    {"{{ a. }}", JINJA_DONE, "}} where a name is expected"},
    {"{{ [1, }}", JINJA_DONE, "unexpected }"},
    {"{{ 'a }}", JINJA_DONE, "a text without its end"},
    {"{{ '\\xZZ' }}", JINJA_DONE, "a malformed escape in a text"},
    {"{{ '\\ud800' }}", JINJA_DONE, "an escape that is no character"},
    {"{{ a ? b }}", JINJA_DONE, "nothing begins with ?"},
    {"{{ 1234567890123456789 }}", JINJA_DONE, "a number that is not supported: 1234567890123456789 "},
    {"{# a", JINJA_DONE, "a comment without its end"},
    {"{% raw +%}{% endraw %}", JINJA_DONE, "unknown statement \"raw\""},
    {"{% raw %} {% endra %}", JINJA_DONE, "{% raw %} without {% endraw %}"},
    {"{% set ns.1 = 1 %}", JINJA_DONE, "an item is assigned to"},
    {"{{ self }}", JINJA_UNSUPPORTED, "a function as a text is not supported"},
    {"{{ '1_0'|int }}", JINJA_UNSUPPORTED, "a number with _ or with digits beyond ASCII is not supported"},
    {"{{ \xC3\xA9 }}", JINJA_DONE, "outside of texts this is not supported: \xC3\xA9"},
    {"{% set true = 1 %}", JINJA_DONE, "a constant cannot be assigned to"},
    {"{% call a %}{% endcall %}", JINJA_DONE, "{% call %} of what is no call"},
};

/* What would take for ever, or all memory: text, then middle n times, then more. */
static const struct {
    const char *name, *begin, *middle;
    int n;
    const char *between, *last;
    const char *message; /* a part of it */
} endless[] = {
    {"nested loops", "{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}", "", 1, "",
     "{% endfor %}{% endfor %}", "more than"},
    {"a text that doubles", "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(40) %}", "", 1, "",
     "{% set ns.x = ns.x ~ ns.x %}{% endfor %}", "more than 67108864 bytes of memory"},
    {"a text that doubles by +", "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(40) %}", "", 1, "",
     "{% set ns.x = ns.x + ns.x %}{% endfor %}", "more than 67108864 bytes of memory"},
    {"a text many times", "{{ 'a' * 1000000000 }}", "", 1, "", "", "more than 67108864 bytes of memory"},
    {"a list many times", "{{ [1] * 1000000000 }}", "", 1, "", "", "more than 67108864 bytes of memory"},
    {"much output", "{% for i in range(99999) %}{{ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}", "", 1, "",
     "{% endfor %}", "more than 4194304 bytes of text"},
    {"parentheses", "{{ ", "(", 100000, "1", ") }}", "nested more than 250 deep"},
    {"lists", "{{ ", "[", 100000, "1", "] }}", "nested more than 250 deep"},
    {"dicts", "{{ ", "{1:", 100000, "1", "} }}", "nested more than 250 deep"},
    {"blocks", "", "{% if 1 %}", 100000, "", "", "nested more than 250 deep"},
    {"macros in macros", "", "{% macro f() %}", 100000, "", "", "nested more than 250 deep"},
    {"targets", "{% set ", "(", 100000, "a", "", "nested more than 250 deep"},
    {"not", "{{ ", "not ", 100000, "1", " }}", "nested more than 250 deep"},
    {"minus", "{{ ", "-", 100000, "1", " }}", "nested more than 250 deep"},
    {"ternaries", "{{ ", "1 if 0 else ", 100000, "1", " }}", "nested more than 250 deep"},
    {"filters", "{{ 'a'", "|upper", 100000, "", " }}", "nested more than 250 deep"},
    {"attributes", "{{ a", ".b", 260, "", " }}", "nested more than 250 deep"},
    {"calls", "{{ a", "()", 100000, "", " }}", "nested more than 250 deep"},
    {"sums", "{{ 1", "+1", 260, "", " }}", "nested more than 250 deep"},
    {"recursion", "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}", "", 1, "", "",
     "nested more than 800 deep"},
    {"a list in itself", "{% set ns = namespace(x=[]) %}{% for i in range(5000) %}", "", 1, "",
     "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}", "nested more than 800 deep"},
    {"a list twice in itself", "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}", "", 1, "",
     "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}", "more than 2000000 steps"},
    {"comparing such lists", "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}", "", 1, "",
     "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
     "more than 2000000 steps"},
    {"replace", "{% set ns = namespace(x='aaaaaaaaaa') %}{% for i in range(40) %}", "", 1, "",
     "{% set ns.x = ns.x|replace('a', 'aa') %}{% endfor %}", "more than 2000000 steps"},
    {"strip", "{{ ('a' * 4000000).strip('b' * 1000000 + 'a') }}", "", 1, "", "", "more than 2000000 steps"},
    {"find", "{{ ('a' * 2000000).find('a' * 1000000 + 'b') }}", "", 1, "", "", "more than 2000000 steps"},
    {"characters far away", "{% set s = '\xC3\xA9' * 1000000 %}{% for i in range(99999) %}{{ s[999999] }}", "", 1, "",
     "{% endfor %}", "more than 2000000 steps"},
    {"a power", "{{ 9**9**9 }}", "", 1, "", "", "a number beyond 64 bits"},
    {"a range", "{{ range(999999999999)|list }}", "", 1, "", "", "more than 100000 numbers"},
    {"ranges", "{% for i in range(99999) %}{{ range(99999)|list|length }}", "", 1, "", "{% endfor %}", "more than"},
    {"sorting", "{{ ([3, 1, 2] * 400000)|sort }}", "", 1, "", "", "more than"},
    {"sorting texts", "{{ (['a' * 9999] * 999)|sort }}", "", 1, "", "", "more than"},
    {"joining", "{{ (['aaaaaaaaaaaaaaaaaaaaaaaaa'] * 999999)|join('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb') }}", "", 1,
     "", "", "more than"},
    {"indenting", "{{ ('a\\n' * 1000000)|indent(1000) }}", "", 1, "", "", "more than"},
    {"indenting again",
     "{% set ns = namespace(x='a\\na\\na') %}{% for i in range(9999) %}{% set ns.x = ns.x|indent(1000) %}", "", 1, "",
     "{% endfor %}", "more than"},
    {"indented JSON", "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}", "", 1, "",
     "{% endfor %}{{ ns.x|tojson(indent=1000) }}", "more than"},
    {"JSON of JSON", "{% set ns = namespace(x='\"') %}{% for i in range(99) %}{% set ns.x = ns.x|tojson %}", "", 1, "",
     "{% endfor %}", "more than"},
    {"quoting", "{% set ns = namespace(x=\"'\") %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x]|string %}", "", 1,
     "", "{% endfor %}", "more than"},
    {"splitting", "{{ ('a' * 9999999).split('a')|length }}", "", 1, "", "", "more than"},
    {"splitting from the end", "{{ ('a' * 9999999).rsplit('a')|length }}", "", 1, "", "", "more than"},
    {"words", "{{ ('a ' * 9999999).split()|length }}", "", 1, "", "", "more than"},
    {"lines", "{{ ('\\n' * 9999999).splitlines()|length }}", "", 1, "", "", "more than"},
    {"finding the last", "{{ ('a' * 2000000).rfind('b' + 'a' * 1000000) }}", "", 1, "", "", "more than"},
    {"counting", "{{ ('a' * 9999999).count('a') }}", "", 1, "", "", "more than"},
    {"partitions", "{% set s = 'a' * 9999999 %}{% for i in range(99999) %}{{ s.rpartition('b')|length }}", "", 1, "",
     "{% endfor %}", "more than"},
    {"containing", "{% set s = 'a' * 9999999 %}{% for i in range(99999) %}{{ 'ab' in s }}", "", 1, "", "{% endfor %}",
     "more than"},
    {"equal texts", "{% set s = 'a' * 4000000 %}{% set r = 'a' * 4000000 %}{% for i in range(99999) %}{{ s == r }}", "",
     1, "", "{% endfor %}", "more than"},
    {"equal lists", "{% set s = [1] * 400000 %}{% set r = [1] * 400000 %}{% for i in range(99999) %}{{ s == r }}", "",
     1, "", "{% endfor %}", "more than"},
    {"backwards", "{% set s = 'a' * 999999 %}{% for i in range(99999) %}{{ s[::-1]|length }}", "", 1, "",
     "{% endfor %}", "more than"},
    {"lists that grow", "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = ns.x + [1] %}", "", 1,
     "", "{% endfor %}", "more than"},
    {"lists that double", "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}", "", 1,
     "", "{% endfor %}", "more than"},
    {"unique", "{{ range(99999)|unique|list|length }}", "", 1, "", "", "more than"},
    {"slices", "{{ 'a'|slice(1000000000)|list|length }}", "", 1, "", "", "more than"},
    {"batches", "{{ 'a'|batch(1000000000, 'b')|list|length }}", "", 1, "", "", "more than"},
    {"a loop in itself", "{% for i in [1] recursive %}{{ loop([1, 1]) }}", "", 1, "", "{% endfor %}",
     "nested more than 800 deep"},
    {"a wide loop in itself",
     "{% for i in range(9) recursive %}{% if loop.depth < 99 %}{{ loop(range(9)) }}{% endif %}", "", 1, "",
     "{% endfor %}", "more than"},
    {"macros twice", "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(99) }}", "",
     1, "", "", "more than"},
    {"a default that calls", "{% macro f(a=f()) %}{% endmacro %}{{ f() }}", "", 1, "", "", "nested more than 800 deep"},
    {"maps", "{{ range(99999)|list", "|map('string')|list", 99, " ", "}}", "more than"},
    {"a date", "{{ strftime_now('%A' * 9999999) }}", "", 1, "", "", "more than"},
    {"titles", "{{ ('a' * 9999999)|title }}", "", 1, "", "", "more than"},
    {"numbers as texts", "{{ [0.1] * 999999 }}", "", 1, "", "", "more than"},
    {"dicts in dicts", "{% set ns = namespace(x={}) %}{% for i in range(9999) %}{% set ns.x = {1: ns.x} %}", "", 1, "",
     "{% endfor %}{{ ns.x }}", "nested more than 800 deep"},
    {"tuples as keys", "{% set ns = namespace(x=(1,)) %}{% for i in range(9999) %}{% set ns.x = (ns.x, ns.x) %}", "", 1,
     "", "{% endfor %}{{ {ns.x: 1} }}", "nested more than 800 deep"},
    {"flattening", "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}", "", 1, "",
     "{% endfor %}{{ ns.x|sum(start=[])|sum(start=[]) }}{{ ns.x|map('sum')|list }}", "more than"},
    {"sum of lists", "{{ ([[1] * 9999] * 999)|sum(start=[])|length }}", "", 1, "", "", "more than"},
    {"loop variables", "{% for i in range(99999) if loop is defined or range(99999)|list %}{{ loop.length }}", "", 1,
     "", "{% endfor %}", "more than"},
    {"white space", "{{ (' ' * 9999999)|trim|length }}", "", 1, "", "", "more than"},
    {"brackets of subscripts", "{{ a", "[a", 100000, "", "", "nested more than 250 deep"},
    {"else if", "", "{% if 0 %}{% else %}", 100000, "", "", "nested more than 250 deep"},
    {"parameters", "{% macro f(a", ",b", 300000, "", ") %}{% endmacro %}", "a parameter twice"},
    {"arguments", "{{ f(", "a,", 300000, "", ") }}", "more than 2000000 steps"},
};

static llama_error err;

/* A zero after the text that a template gives; NULL if it does not. *result also tells that it could not be parsed. */
static char *render(const char *template, size_t size, jinja_result *result) {
    json_text v;
    char *out = NULL;
    *err.text = 0;
    *result = JINJA_DONE;
    jinja_program *p = jinja_parse(template, size, "t", &err);
    if (!p || json_parse(&v, variables, sizeof variables - 1, "variables", &err)) return jinja_free(p), NULL;
    *result = jinja_render(p, v.nodes, NULL, &out, &size, &err);
    json_free(&v);
    jinja_free(p);
    return out;
}

static void test_cases(void) {
    jinja_result result;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!cases[i].text) {
            test_start(cases[i].template);
            continue;
        }
        char *out = render(cases[i].template, strlen(cases[i].template), &result);
        if (!CHECK_TEXT(out ? out : err.text, cases[i].text)) printf("  of     %s\n", cases[i].template);
        free(out);
    }
}

static void test_refusals(void) {
    jinja_result result;
    TEST("refusals") {
        for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
            char *out = render(refusals[i].template, strlen(refusals[i].template), &result), want[200];
            snprintf(want, sizeof want, "t: line 1: %s", refusals[i].message);
            if (!CHECK(!out && result == refusals[i].result)) printf("  of     %s\n", refusals[i].template);
            CHECK_TEXT(err.text, want);
            free(out);
        }
    }
    TEST("the line of what is refused") {
        static const char text[] = "a\n{% if a %}\n{{ 'x\ny' }}{{ 1 +\n  nope }}{% endif %}",
                          early[] = "\n\r\n{# \n #}{{ ( }}";
        char *out = render(text, sizeof text - 1, &result);
        CHECK(!out && strstr(err.text, "t: line 5: 'nope' is undefined"));
        out = render(early, sizeof early - 1, &result);
        CHECK(!out && strstr(err.text, "t: line 4: "));
    }
}

static void test_endless(void) {
    jinja_result result;
    TEST("what is endless ends") {
        for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
            const size_t n = strlen(endless[i].middle), begin = strlen(endless[i].begin);
            char *text = malloc(begin + n * (size_t)endless[i].n + 1000), *end = text + begin;
            const clock_t start = clock();
            strcpy(text, endless[i].begin);
            for (int k = 0; k < endless[i].n; k++, end += n) memcpy(end, endless[i].middle, n + 1);
            strcat(strcpy(end, endless[i].between), endless[i].last);
            char *out = render(text, strlen(text), &result);
            const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
            if (!CHECK(!out && strstr(err.text, endless[i].message)) || !CHECK(seconds < 20))
                printf("  %s: %.2f s, %s\n", endless[i].name, seconds, err.text);
            free(out);
            free(text);
        }
    }
    TEST("limits that are given, and the date") {
        static const char text[] = "{% for i in range(100) %}{{ strftime_now('%d.%m.%y %a %j') }},{% endfor %}";
        static const jinja_limits steps = {.max_steps = 500}, memory = {.max_memory = 10000},
                                  output = {.max_output = 500}, day = {.year = 2000, .month = 2, .day = 29};
        const jinja_limits *const limits[] = {&steps, &memory, &output, &day};
        static const char *const want[] = {"t: line 1: more than 500 steps",
                                           "t: line 1: more than 10000 bytes of memory",
                                           "t: line 1: more than 500 bytes of text", ""};
        jinja_program *p = jinja_parse(text, sizeof text - 1, "t", &err);
        CHECK(p);
        for (int i = 0; p && i < 4; i++) {
            char *out;
            size_t size;
            *err.text = 0;
            CHECK(jinja_render(p, NULL, limits[i], &out, &size, &err) == (i < 3 ? JINJA_LIMIT : JINJA_DONE));
            CHECK_TEXT(err.text, want[i]);
            if (i == 3) CHECK(out && !strncmp(out, "29.02.00 Tue 060,29", 19) && size == strlen(out));
            free(out);
        }
        jinja_free(p);
    }
}

/* ---- Real templates, if the development data are there ---- */

static void put_key(json_node *nodes, size_t *n, const char *key, const json_node *value) {
    nodes[*n] = (json_node){.type = JSON_STRING, .skip = 1 + value->skip, .size = (uint32_t)strlen(key), .text = key};
    memcpy(nodes + *n + 1, value, value->skip * sizeof *nodes);
    *n += 1 + value->skip;
    nodes->size++;
}

/* A conversation of golden.json, as variables: with the tokens that tokenizer_config.json names. malloc'ed. */
static json_node *chat_variables(const json_node *chat, const json_node *config) {
    static const char *const tokens[] = {"bos_token", "eos_token"}, *const keys[] = {"messages",
                                                                                     "add_generation_prompt"};
    json_node *nodes = calloc(chat->skip + 10u, sizeof *nodes);
    size_t n = 1;
    *nodes = (json_node){.type = JSON_OBJECT, .skip = 1};
    for (int i = 0; i < 2; i++) {
        const json_node *token = json_get(config, tokens[i]), *content = json_get(token, "content");
        put_key(nodes, &n, keys[i], json_get(chat, keys[i]));
        if (json_is(token, JSON_STRING) || content) put_key(nodes, &n, tokens[i], content ? content : token);
    }
    nodes->skip = (uint32_t)n;
    return nodes;
}

/* Compares all conversations of a folder; 0: there is none. */
static int compare_family(const char *name) {
    char path[100];
    json_text golden, config;
    size_t size;
    snprintf(path, sizeof path, "families/%s/golden.json", name);
    const char *found = data_path(path);
    if (!found || json_load(&golden, found, &err)) return 0;
    snprintf(path, sizeof path, "families/%s/tokenizer_config.json", name);
    CHECK(!json_load(&config, data_path(path), &err));
    snprintf(path, sizeof path, "families/%s/chat_template.jinja", name);
    const json_node *text = json_get(config.nodes, "chat_template");
    char *file = data_path(path) ? file_read(data_path(path), 1 << 20, &size, &err) : NULL;
    jinja_program *p = jinja_parse(file ? file : text->text, file ? size : text->size, name, &err);
    if (!CHECK(p)) printf("  %s\n", err.text);
    if (p)
        JSON_EACH(chat, json_get(golden.nodes, "chat")) {
            json_node *v = chat_variables(chat, config.nodes);
            char *out;
            const jinja_result result = jinja_render(p, v, NULL, &out, &size, &err);
            const json_node *want = json_get(chat, "text");
            if (want->type == JSON_NULL) CHECK(result == JINJA_RAISED || result == JINJA_ERROR);
            else CHECK_TEXT(out ? out : err.text, want->text);
            free(out);
            free(v);
        }
    jinja_free(p);
    free(file);
    json_free(&golden);
    json_free(&config);
    return 1;
}

static void test_families(void) {
    static const char *const names[] = {
        "gemma2",    "gemma3",  "gemma3-mm",  "granite", "granite-untied", "internlm2", "llama-null",
        "llama-v5",  "minicpm", "mistral-sw", "mixtral", "olmo2",          "phi3",      "phi3-4k",
        "phi4-mini", "qwen2",   "qwen2-yarn", "qwen3",   "qwen3_moe",      "smollm3",   "smollm3-irregular"};
    if (!data_path("families/qwen3/golden.json")) {
        SKIP("chat templates of families", "no ../shared/data");
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        TEST(names[i]) CHECK(compare_family(names[i]));
}

int main(void) {
    test_cases();
    test_refusals();
    test_endless();
    test_families();
    return test_end();
}
