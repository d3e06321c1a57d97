/* onnx_run.h - reads an ONNX file, checks that it is whole, and runs its graph, with plain loops in double precision:
 * of the operators of opset 17 those that onnx.c uses, each as onnx/docs/Operators.md says it, and nothing else. A test
 * compiles it in by  #include "onnx_run.c"  and needs checkpoint.c.
 */
#ifndef ONNX_RUN_H
#define ONNX_RUN_H

#include <stddef.h>
#include <stdint.h>

enum { RUN_FLOAT = 1, RUN_INT64 = 7, RUN_BOOL = 9, RUN_FLOAT16 = 10 }; /* types, as in the file */
enum { RUN_DIMS = 4, RUN_INPUTS = 3, RUN_OUTPUTS = 2 };

typedef struct {
    char name[80];
    int type, rank;
    int64_t dims[RUN_DIMS];
    double *x;        /* its numbers, of whatever type; NULL: not known yet */
    int given;        /* 1: an initializer or an input of the graph, not a node's output */
    int output, used; /* 1: of the graph; by a node */
    int declared_type, declared_rank;
    int64_t declared[RUN_DIMS]; /* of an output: what is said of it; -1: any */
    uint64_t outside;           /* of an initializer whose bytes are in a second file: how many they are, */
    uint64_t offset;            /* and where */
} run_value;

typedef struct {
    char name[80], operator[24], attribute[16];
    int64_t ints[RUN_DIMS]; /* of the attribute */
    int n_ints;
    int in[RUN_INPUTS], n_in, out[RUN_OUTPUTS], n_out; /* numbers of values */
} run_node;

typedef struct {
    run_value *values;
    run_node *nodes;
    int n_values, n_nodes;
    uint64_t inside, outside; /* bytes of initializers in the file and in the second one */
    char location[80];        /* of that; empty: there is none */
    char error[200];          /* the first thing that is wrong; empty: nothing */
} run_graph;

/* Reads the file at path and, beside it, what it says. Whatever is wrong is in error. Free it in any case. */
run_graph run_read(const char *path);
void run_free(run_graph *g);

run_value *run_find(run_graph *g, const char *name); /* NULL: there is none */

/* An input of the graph: numbers are copied. */
void run_feed(run_graph *g, const char *name, int rank, const int64_t *dims, const double *x);

/* 1; or 0, with an error. */
int run_run(run_graph *g);

#endif
