/* header_only.c - both libraries in one source file, in a host with names of its own that are as common as can be.
 * It compiles only if the libraries leave no macro and no plainly named static behind.
 */
#include <stddef.h>

/* clang-format off */
#define HOST_NAMES(X) \
    X(matmul) X(rmsnorm) X(softmax) X(silu) X(swiglu) X(rope) X(attention) X(forward) X(sample) X(sampler) X(argmax) \
    X(topk) X(dot) X(min) X(max) X(clamp) X(swap) X(align) X(fail) X(error) X(set_error) X(check) X(mul) X(add) \
    X(read_file) X(map_file) X(load) X(parse) X(read_u32) X(get_u32) X(hash) X(heap) X(push) X(pop) X(merge) X(lookup) \
    X(encode) X(decode) X(utf8) X(random_next) X(alloc) X(release) X(reader) X(layer) X(matrix) X(config) X(model) \
    X(context) X(piece) X(vocab) X(node) X(list) X(buffer) X(string)
/* clang-format on */

/* The host's functions stand before the libraries ... */
#define DEFINE(name)                                                                                                   \
    static int name(int x) { return x + 1; }
HOST_NAMES(DEFINE)

/* ... and so do its macros, which a library may not need for itself. */
#define MIN(a, b) host_min
#define MAX(a, b) host_max
#define CHECK(x) host_check
#define TILE host_tile
#define N host_n
#define INLINE host_inline

#define LLAMA_IMPLEMENTATION
#include "../llama.h"
#define TOKENIZER_IMPLEMENTATION
#include "../tokenizer.h"

/* Included once more, as another header of the host's would: declarations only. */
#include "../llama.h"
#include "../tokenizer.h"

#undef CHECK
#undef MIN
#undef MAX
#include "test.h"

/* What the libraries must not have left defined. */
#if defined(LLAMA_IMPLEMENTATION) || defined(TOKENIZER_IMPLEMENTATION)
#error "a library left its switch defined"
#endif

#define CALL(name) +name(0)
#define COUNT(name) +1

int main(void) {
    TEST("the host's own functions are its own") { CHECK(0 HOST_NAMES(CALL) == 0 HOST_NAMES(COUNT)); }
    TEST("both libraries work from one source file") {
        llama_error err;
        tokenizer_error terr;
        CHECK(!llama_load("no such file", NULL, &err));
        CHECK(strstr(err.text, "no such file"));
        CHECK(!tokenizer_load("no such file", 0, NULL, &terr));
        CHECK(strstr(terr.text, "no such file"));
    }
    return test_end();
}
