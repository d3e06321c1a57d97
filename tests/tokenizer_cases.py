#!/usr/bin/env python3
"""Writes tokenizer_cases.inc: texts in many scripts and the ids that SentencePiece itself gives them.

    python3 tests/tokenizer_cases.py LLAMA2_TOKENIZER.model > tests/tokenizer_cases.inc

The model is Llama 2's, of 32,000 pieces (MD5 eeec4125e9c7560836b4873b6f8e3025). Needs the package
sentencepiece; the tests do not.
"""
import random
import sys
import textwrap

import sentencepiece

SENTENCES = """
All human beings are born free and equal in dignity and rights.
The quick brown fox jumps over the lazy dog.
Once upon a time, there was a little girl named Lily.
It's a truth universally acknowledged, isn't it? “Yes,” she said — ‘no’…
I'll they've we're he'd don't CAN'T SHE'LL
Tous les êtres humains naissent libres et égaux en dignité et en droits.
Alle Menschen sind frei und gleich an Würde und Rechten geboren. Straße, Größe, Übung
Todos los seres humanos nacen libres e iguales en dignidad. ¿Qué? ¡Sí, señor!
Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Ação, coração
Tutti gli esseri umani nascono liberi ed eguali. Perché, più, città
Alle mensen worden vrij en gelijk in waardigheid geboren.
Alla människor är födda fria och lika i värde. Åäö
Alle mennesker er født frie. Ærø, smørrebrød
Kaikki ihmiset syntyvät vapaina. Hyvää päivää
Hver maður er borinn frjáls. Þetta er ekki ðað
Wszyscy ludzie rodzą się wolni. Zażółć gęślą jaźń
Všichni lidé rodí se svobodní. Příliš žluťoučký kůň úpěl ďábelské ódy
Minden emberi lény szabadon születik. Árvíztűrő tükörfúrógép
Toate ființele umane se nasc libere. Ștefan țară înălțime
Sva ljudska bića rađaju se slobodna. Đak, žaba, čovjek
Visi žmonės gimsta laisvi. Ąžuolas, šuo, ėjo
Visi cilvēki piedzimst brīvi. Ķīna, ģimene
Bütün insanlar hür doğar. Iğdır, İstanbul, ışık
Të gjithë njerëzit lindin të lirë.
Tất cả mọi người sinh ra đều được tự do. Tiếng Việt
Saoláitear gach duine den chine daonna saor. Ġħawdex
Ĉiuj homoj estas denaske liberaj. Ŝi ĵus aŭdis
Все люди рождаются свободными и равными в своём достоинстве и правах.
Всі люди народжуються вільними. Їжак, ґанок, є
Всички хора се раждат свободни. Сите луѓе, ќе
Бүх хүн төрөлхтөн эрх чөлөөтэй. Барлық адамдар, ұлт, әлем, өң
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι. Ἐν ἀρχῇ ἦν ὁ λόγος
כל בני האדם נולדו בני חורין. שָׁלוֹם
يولد جميع الناس أحراراً متساوين. السَّلامُ عَلَيْكُمْ
تمام افراد بشر آزاد به دنیا می‌آیند. گچپژ
تمام انسان آزاد پیدا ہوئے ہیں۔ ٹڈڑ
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।
সমস্ত মানুষ স্বাধীনভাবে জন্মগ্রহণ করে।
ਸਾਰੇ ਮਨੁੱਖ ਆਜ਼ਾਦ ਹਨ।
બધા માનવો સ્વતંત્ર છે.
மனிதப் பிறிவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.
మానవులెల్లరు స్వేచ్ఛగా జన్మించారు.
ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿ ಜನಿಸಿದ್ದಾರೆ.
മനുഷ്യരെല്ലാം സ്വതന്ത്രരായി ജനിക്കുന്നു.
සියලු මිනිසුන් නිදහස් ය.
มนุษย์ทุกคนเกิดมามีอิสระ
ມະນຸດທຸກຄົນເກີດມາມີອິດສະລະ
လူတိုင်းသည် လွတ်လပ်သည်။
មនុស្សទាំងអស់កើតមកមានសេរីភាព
འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས།
ყველა ადამიანი იბადება თავისუფალი.
Բոլոր մարդիկ ծնվում են ազատ։
የሰው ልጅ ሁሉ ነጻ ሆኖ ይወለዳል።
人人生而自由,在尊严和权利上一律平等。
人人生而自由，在尊嚴和權利上一律平等。
すべての人間は、生まれながらにして自由である。カタカナ、ｶﾀｶﾅ、漢字
모든 인간은 태어날 때부터 자유롭다. ㄱㄴㄷ
ᏣᏏᎩ ᏅᏩᏍᏗ
ᐃᓄᐃᑦ ᐱᓂᐊᕐᓂᖏᑦ
ᚠᛇᚻ᛫ᛒᛦᚦ᛫ᚠᚱᚩᚠᚢᚱ
𐌲𐌿𐍄𐌰𐌽𐍃 𒀀𒁀 𓀀𓂀 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚
😀😁🤣 👍🏽 👨‍👩‍👧‍👦 🇩🇪🇫🇷 ❤️ ☃ ♞ 🦙🦙🦙
∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β, ∑ᵢ xᵢ² ≤ ∞, ½ ¾ ²³
←↑→↓ ⇒ ⇔ ■□▲△ ★☆ ✓✗ ①②③ Ⅳ ™ © ® § ¶ † ‡ • ‰ € £ ¥ ₽ ₹ °C
Ａｂｃ１２３ ﬁne ﬂow Ĳssel ǆ ſ ß ẞ İ ı K Å
e\u0301 é n\u0303 ñ A\u030a Å o\u0308\u0304 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L
<s> is text, and so are </s> <unk> <pad> <0x0A> [INST] <<SYS>> <|im_start|>
\u2581 is the space of pieces\u2581\u2581and here\u2581it is twice
1234567890 3.14159 1,000,000 0x1F 1e-9 10% 50/50 2024-02-29T23:59:59Z 192.168.0.1
https://example.com/a/b?c=d&e=f#g user@example.org C:\\Windows\\System32 ~/.config
int main(void) { return printf("%d\\n", 42) ? 0 : 1; } /* comment */
for i in range(10): print(f"{i:>3}") # comment
#include <stdio.h> static inline int f(const char *p, size_t n) { while (n--) *p++ ^= 0xFF; }
SELECT a.*, COUNT(*) FROM t AS a WHERE a.x <> 'y' GROUP BY 1;
<html><body class="x">&nbsp;&amp;</body></html>
{"key": [1, 2.5, null, true], "text": "a\\u00e9"}
$E = mc^2$ \\frac{a}{b} \\begin{equation}
HELLO hello HeLLo hELLO helloWorld hello_world hello-world HELLO_WORLD
Donaudampfschifffahrtsgesellschaftskapitän antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis
!!! ??? ... ,,, ;;; ::: --- ___ === +++ *** /// ~~~ ``` ''' "" (()) [[]] {{}} <<>> || && @@ ## $$ %% ^^
""".strip("\n").split("\n")

OTHERS = [
    "", " ", "  ", "   ", "    ", " " * 15, " " * 16, " " * 17, " " * 31, "a", " a", "  a", "a ", "a  ", " a ", "   a   b    c",
    "\n", "\n\n", "\n\n\n", " \n", "\n ", "\r\n", "\t", "\t\t", " \t ", "a\nb", "a\n\nb", "a\r\nb\r\n", "a\tb", "\x0b\x0c",
    "\0", "a\0b", "\0\0\0", "\x01\x02\x1f\x7f", "\x80\x9f\xa0\xad", "\ufeffa", "\ufffd", "\ufffe\uffff", "\U0010ffff",
    "\u00a0", "a\u00a0b", "\u1680\u2000\u2001\u2002\u2003\u2009\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u3000",
    "\u2581", "\u2581\u2581", "\u2581a", " \u2581a", "\u2581 a", "a\u2581", "a\u2581b", "\u2581\u2581\u2581\u2581\u2581",
    "a" * 7, "a" * 64, "ab" * 20, "aab" * 15, "=" * 40, "-" * 33, "0" * 19, "\n" * 9, "the" * 12, "х" * 11, "的" * 5, "😀" * 3,
    "def f(x):\n    if x:\n        return x\n\n    return None\n", "\tif (a)\n\t\tb();\n", "- a\n  - b\n    - c\n",
    "1\n2\n3\n", "  leading and trailing  ", "two  spaces   three    four", "Mr.Smith", "e.g. i.e. etc.", "A.B.C.",
]

# Sixteen characters from each of many blocks, and a few words of one block after another.
BLOCKS = [
    (0x21, 0x7E), (0xA1, 0xFF), (0x100, 0x17F), (0x180, 0x24F), (0x250, 0x2AF), (0x2B0, 0x36F), (0x370, 0x3FF), (0x400, 0x52F),
    (0x531, 0x58A), (0x591, 0x5F4), (0x600, 0x6FF), (0x700, 0x7BF), (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xA7F),
    (0xA80, 0xAFF), (0xB00, 0xB7F), (0xB80, 0xBFF), (0xC00, 0xC7F), (0xC80, 0xCFF), (0xD00, 0xD7F), (0xD80, 0xDFF),
    (0xE01, 0xE5B), (0xE80, 0xEDF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F),
    (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1800, 0x18AF), (0x1D00, 0x1D7F), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF),
    (0x2000, 0x206F), (0x2070, 0x20CF), (0x2100, 0x218F), (0x2190, 0x21FF), (0x2200, 0x22FF), (0x2300, 0x23FF),
    (0x2460, 0x24FF), (0x2500, 0x25FF), (0x2600, 0x26FF), (0x2700, 0x27BF), (0x2800, 0x28FF), (0x2E80, 0x2FDF),
    (0x3000, 0x303F), (0x3041, 0x30FF), (0x3105, 0x318E), (0x3200, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x5FFF),
    (0x6000, 0x7FFF), (0x8000, 0x9FFF), (0xA000, 0xA4CF), (0xAC00, 0xB9FF), (0xBA00, 0xD7A3), (0xE000, 0xF8FF),
    (0xF900, 0xFAFF), (0xFB00, 0xFDFF), (0xFE00, 0xFFEF), (0x10000, 0x103FF), (0x10400, 0x10FFF), (0x11000, 0x11FFF),
    (0x12000, 0x13FFF), (0x1D000, 0x1D7FF), (0x1F000, 0x1F2FF), (0x1F300, 0x1F5FF), (0x1F600, 0x1F9FF), (0x20000, 0x2FFFF),
    (0xE0000, 0x10FFFF),
]


def random_texts():
    r = random.Random(1)
    for low, high in BLOCKS:
        yield "".join(chr(r.randint(low, high)) for _ in range(10)) + " " + chr(r.randint(low, high))
    for _ in range(40):
        words = [r.choice(r.choice(SENTENCES).split()) for _ in range(r.randint(2, 5))]
        yield "".join(r.choice([w, " " + w, "\n" + w, w.upper(), w[:2] + w[:2], "\u2581" + w, "  " + w]) for w in words)


def quoted(text):
    out = ""
    for c in text:
        if c in '"\\?':
            out += "\\" + c
        elif c == "\n":
            out += "\\n"
        elif c.isprintable() and c != "\u2581":
            out += c
        else:  # three octal digits end where they end, whatever follows
            out += "".join("\\%03o" % b for b in c.encode())
    return '"%s"' % out


def main():
    model = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
    print("/* Made by tokenizer_cases.py: texts, and their ids in Llama 2's tokenizer of 32,000 pieces. */")
    for text in SENTENCES + OTHERS + list(random_texts()):
        ids = " ".join(map(str, model.encode(text)))
        lines = [x + " " for x in textwrap.wrap(ids, 111)] or [""]
        print("CASE(%s,\n     %s)" % (quoted(text), "\n     ".join('"%s"' % line for line in lines)))


main()
