/* onnx.h - what of onnx.c tests need beside export.h. */
#ifndef ONNX_H
#define ONNX_H

#include "export.h"

/* export_onnx, for which in_one is the 2 GB that a protocol buffer may have: what is larger than that gets a second
 * file, path.data, for all tensors but the smallest. What has that name already is not replaced, and nothing is written
 * beside it. */
int onnx_write(const export_input *in, const char *path, uint64_t in_one, export_report *report, llama_error *err);

#endif
