// random_texts.mjs - texts to compare tokenizers with: of all scripts, digits, marks, emoji, white space and code. The same
// in every run.

let state = 1n;
function below(n) { // SplitMix64
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return Number((z ^ (z >> 31n)) % BigInt(n));
}
const pick = (list) => list[below(list.length)];

function character(left_out) {
    for (;;) {
        const kind = below(8);
        const c = kind < 3 ? 32 + below(95)
                : kind < 5 ? below(0x3000)
                : kind < 6 ? below(0x10000)
                : kind < 7 ? 0x10000 + below(0x22000)
                : below(0x110000);
        if (c === 0 || left_out.has(c) || (c >= 0xd800 && c < 0xe000)) continue;
        return String.fromCodePoint(c);
    }
}
export const bits = ["'s", "'T", "'Re", "'ve", "'m", "'LL", "'d", "'", "''s", " ", "  ", "\t", "\n", "\r\n", "\n\n", " \n",
              "\u00a0", "\u3000", "1", "12", "123", "1234", "٣", "²", "½", "a", "the", " the", "Hello", "é", "ß", "中",
              "日本", "한국", "กำ", "नि", "م", "🙂", "👩‍👩‍👧", ".", "...", "!?", "<", "<|", "|>", "_", "-", "$", "€", "\u200b",
              "\u0301", "\u2028"];

export function random_text(left_out, bits_of = bits) { // a Set of code points; what is often in texts
    let s = "";
    const style = below(3);
    for (let n = 1 + below(24); n > 0; n--)
        s += style === 0 ? character(left_out) : style === 1 ? pick(bits_of) : below(2) ? pick(bits_of) : character(left_out);
    return s;
}

export const sentences = [
    "Call me Ishmael. Some years ago, never mind how long precisely, I went to sea.", "I'M SURE THEY'LL SAY it's ours",
    "Größe, Übermut und Straße; daß er's weiß.", "L'été, c'était déjà l'hôtel où naïve Zoë dînait.",
    "El niño comió piñas en la montaña. ¿Qué tal? ¡Olé!", "Não há coração que não saiba: às vezes, amanhã.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.", "Жили-были дід та баба, їхня хата — з краю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.", "נקוט ילד ויספר: שָׁלוֹם!", "نص حكيم له سر قاطع وذو شأن عظيم ١٢٣٤",
    "یک روز، دختری بود. ۵۶۷۸۹", "यह एक वाक्य है। १२३", "এটি একটি বাক্য।", "இது ஒரு வாக்கியம்.", "ఇది ఒక వాక్యం.",
    "ประโยคภาษาไทยไม่มีช่องว่าง", "នេះជាប្រយោគ។", "ဒါက စာကြောင်း", "ეს არის წინადადება.", "Սա նախադասություն է։",
    "ይህ ዓረፍተ ነገር ነው።", "这是一个句子。我们去北京吧!", "東京タワーに行きました。ﾊﾝｶｸ", "이것은 문장입니다. 안녕하세요", "Đây là một câu tiếng Việt.",
    "Łódź, żółć, gęślą jaźń", "Příliš žluťoučký kůň úpěl ďábelské ódy", "Íslenska: Þetta er ekki flókið.",
    "int main(void) { return 0; }\n\tprintf(\"%d\\n\", x1 += 0x1F);", "https://example.org/a?b=1&c=%20#d", "SELECT * FROM t WHERE a<>'it''s';",
    "3.14159 1,000,000 2024-05-06 12:34:56", "x² + y² = z²; ½ ⅓ Ⅻ ①", "🙂👩‍👩‍👧🇩🇪👍🏽", "e\u0301 vs é; ﬁ vs fi", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𒀀 𠜎",
    "tabs\tand\t\tmore\t", "   leading", "trailing   ", "a  b   c    d", "line\r\nline\r\n\r\n  indented\n\n\n", " \n \n x", "\u00a0nbsp\u2003em\u3000wide",
    "<|begin_of_text", "< |eot_id| >", "camelCaseAndXMLHttpRequest_snake_case", "don'tcan'tWON'T'sss", "''''s 'S 't'T", "!!!???...\n\n--- ***",
];
