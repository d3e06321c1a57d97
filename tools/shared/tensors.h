/* tensors.h - the tensors of a model by number, whatever the file that they are in. */
#ifndef TENSORS_H
#define TENSORS_H

/* In the order of ll_tensor_id. */
enum tensor {
    /* Of the model: layer is 0. The first two are no weights: what the rotary tables hold for each pair of a head. */
    TENSOR_ROPE,
    TENSOR_ROPE_AMPLITUDES,
    TENSOR_FINAL_NORM,
    TENSOR_EMBEDDING,
    TENSOR_CLASSIFIER,
    /* Of each layer: vectors, then matrices. */
    TENSOR_ATTENTION_NORM,
    TENSOR_FFN_NORM,
    TENSOR_Q_BIAS,
    TENSOR_K_BIAS,
    TENSOR_V_BIAS,
    TENSOR_O_BIAS,
    TENSOR_Q_NORM,
    TENSOR_K_NORM,
    TENSOR_ATTENTION_POST_NORM,
    TENSOR_FFN_POST_NORM,
    TENSOR_WQ,
    TENSOR_WK,
    TENSOR_WV,
    TENSOR_WO,
    TENSOR_ROUTER,
    TENSOR_W1,
    TENSOR_W3,
    TENSOR_W2,
    TENSORS,
    TENSOR_OF_LAYER = TENSOR_ATTENTION_NORM
};

#endif
