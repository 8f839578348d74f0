/* A Triton backend that answers at once: what is left is what the way to Triton and back costs. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* From Triton's tritonbackend.h and tritonserver.h (API 1.x), which its Python wheel doesn't carry. */
typedef struct TRITONSERVER_Error Error;
typedef struct TRITONBACKEND_ModelInstance Instance;
typedef struct TRITONBACKEND_Request Request;
typedef struct TRITONBACKEND_Response Response;
typedef struct TRITONBACKEND_Input Input;
typedef struct TRITONBACKEND_Output Output;
enum { TYPE_INT32 = 8, TYPE_FP32 = 11, MEMORY_CPU = 0, RELEASE_ALL = 1, RESPONSE_FINAL = 1 };
Error *TRITONBACKEND_ResponseNew(Response **, Request *);
Error *TRITONBACKEND_ResponseOutput(Response *, Output **, const char *name, int type, const int64_t *shape, uint32_t dims);
Error *TRITONBACKEND_OutputBuffer(Output *, void **buffer, uint64_t bytes, int *memory_type, int64_t *memory_id);
Error *TRITONBACKEND_ResponseSend(Response *, uint32_t flags, Error *);
Error *TRITONBACKEND_RequestRelease(Request *, uint32_t flags);
Error *TRITONBACKEND_RequestOutputCount(Request *, uint32_t *count);
Error *TRITONBACKEND_RequestOutputName(Request *, uint32_t index, const char **name);
Error *TRITONBACKEND_RequestInputByIndex(Request *, uint32_t index, Input **);
Error *TRITONBACKEND_InputProperties(Input *, const char **name, int *type, const int64_t **shape, uint32_t *dims,
    uint64_t *bytes, uint32_t *buffers);
Error *TRITONBACKEND_ModelInstanceReportStatistics(Instance *, Request *, bool success, uint64_t start_ns,
    uint64_t compute_start_ns, uint64_t compute_end_ns, uint64_t end_ns);
Error *TRITONBACKEND_ModelInstanceReportBatchStatistics(Instance *, uint64_t batch, uint64_t start_ns,
    uint64_t compute_start_ns, uint64_t compute_end_ns, uint64_t end_ns);

enum { ROWS = 100, COLUMNS = 6 };
static const float PERSON[COLUMNS] = {100, 60, 160, 220, 0.9f, 0};

/* Every frame of a request's batch shows the same person. */
static void fill(Response *response, const char *name, int64_t batch)
{
    bool rows = strcmp(name, "detections") == 0;
    int64_t shape[] = {batch, rows ? ROWS : 1, COLUMNS};
    uint64_t bytes = batch * (rows ? sizeof(float) * ROWS * COLUMNS : sizeof(int32_t));
    Output *output;
    void *buffer;
    int memory_type = MEMORY_CPU;
    int64_t memory_id = 0;
    if (TRITONBACKEND_ResponseOutput(response, &output, name, rows ? TYPE_FP32 : TYPE_INT32, shape, rows ? 3 : 2) ||
        TRITONBACKEND_OutputBuffer(output, &buffer, bytes, &memory_type, &memory_id))
        return;
    memset(buffer, 0, bytes);
    for (int64_t i = 0; i < batch; i++)
        if (rows)
            memcpy((float *)buffer + i * ROWS * COLUMNS, PERSON, sizeof PERSON);
        else
            ((int32_t *)buffer)[i] = 1;
}

static int64_t batch_of(Request *request)
{
    Input *input;
    const int64_t *shape;
    if (TRITONBACKEND_RequestInputByIndex(request, 0, &input) ||
        TRITONBACKEND_InputProperties(input, 0, 0, &shape, 0, 0, 0))
        return 1;
    return shape[0];
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

Error *TRITONBACKEND_ModelInstanceExecute(Instance *instance, Request **requests, const uint32_t count)
{
    uint64_t start = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        Response *response;
        uint32_t outputs = 0;
        if (!TRITONBACKEND_ResponseNew(&response, requests[i])) {
            TRITONBACKEND_RequestOutputCount(requests[i], &outputs);
            for (uint32_t k = 0; k < outputs; k++) {
                const char *name;
                if (!TRITONBACKEND_RequestOutputName(requests[i], k, &name))
                    fill(response, name, batch_of(requests[i]));
            }
            TRITONBACKEND_ResponseSend(response, RESPONSE_FINAL, 0);
        }
        uint64_t end = now_ns();
        TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], true, start, start, end, end);
        TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL);
    }
    uint64_t end = now_ns();
    TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, start, start, end, end);
    return 0;
}
