/* hf_writer.h - what export_hf has inside, for its tests. */
#ifndef HF_WRITER_H
#define HF_WRITER_H

#include "export.h"

#define HF_SHARD_BYTES ((uint64_t)5000000000) /* of data in a file, unless one tensor is larger */

/* export_hf, with files of at most shard_bytes. */
int hf_write_directory(const export_input *in, const char *directory, uint64_t shard_bytes, export_report *report,
                       llama_error *err);

#endif
