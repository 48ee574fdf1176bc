/*
 * lying_layer.c - a Vulkan layer that makes a device compute wrongly or have little memory: the
 * lying device of the tests.
 *
 * The file `lies` beside this library is read when an instance is made; without it the device is
 * honest. A line of it is one of
 *
 *   trace                          write every dispatch to the file `trace` beside the library
 *   heap MIB                       the size of each heap of the device's own memory, at most
 *   free MIB                       what is free of it (VK_EXT_memory_budget); more is refused
 *   drop PIPELINE CONDITION...     a dispatch that is not done
 *   repeat PIPELINE CONDITION...   one that is done twice
 *   halve PIPELINE CONDITION...    one of half the workgroups
 *   wordN=V PIPELINE CONDITION...  one with the number V at word N of its push constants
 *
 * PIPELINE is a pattern of fnmatch for the name that the engine gave the pipeline, or for '#' and
 * the 16 hex digits of its shader's hash. A CONDITION is x=A-B, y=A-B, z=A-B (workgroups),
 * wordN=A-B (a word of the push constants) or nth=A-B (of the dispatches that fit otherwise,
 * counted from 1). "A" alone is "A-A". The first line that fits a dispatch is followed, and added
 * to the file `told` when there is none: a test removes it, and knows afterwards whether a lie was
 * told.
 */
#include <dlfcn.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

#define LAYER_EXPORT __attribute__((visibility("default")))

enum {
    NAME_MAX_BYTES = 96,
    RULES_MAX = 64,
    CONDITIONS_MAX = 8,
    WORDS_MAX = 64, /* of push constants: 256 bytes, the most that drivers offer */
    TRACED_WORDS = 16,
    HEAPS_MAX = VK_MAX_MEMORY_HEAPS,
};

/* ---- the rules ---- */

enum action { DROP, REPEAT, HALVE, SET_WORD };

/* What a condition looks at. */
enum subject { SUBJECT_X, SUBJECT_Y, SUBJECT_Z, SUBJECT_NTH, SUBJECT_WORD };

struct condition {
    enum subject subject;
    unsigned word; /* of SUBJECT_WORD */
    uint64_t first, last;
};

struct rule {
    char line[256];
    enum action action;
    unsigned word; /* of SET_WORD */
    uint32_t value;
    char pipeline[NAME_MAX_BYTES];
    struct condition condition[CONDITIONS_MAX];
    size_t n;
    uint64_t seen; /* dispatches that fit but for nth */
};

static struct {
    struct rule rule[RULES_MAX];
    size_t n;
    bool read;
    uint64_t heap, free; /* bytes; 0 as the driver says */
    FILE *trace;
} lies;

/* ---- what the layer knows of the program ---- */

/* What is called below the layer. */
#define INSTANCE_CALLS(X)                                                                          \
    X(GetPhysicalDeviceMemoryProperties)                                                           \
    X(GetPhysicalDeviceMemoryProperties2)                                                          \
    X(EnumerateDeviceExtensionProperties)
#define DEVICE_CALLS(X)                                                                            \
    X(CreateShaderModule)                                                                          \
    X(CreateComputePipelines)                                                                      \
    X(SetDebugUtilsObjectNameEXT)                                                                  \
    X(AllocateMemory)                                                                              \
    X(FreeMemory)                                                                                  \
    X(CmdBindPipeline)                                                                             \
    X(CmdPushConstants)                                                                            \
    X(CmdPipelineBarrier)                                                                          \
    X(CmdDispatch)
#define CALL_FIELD(name) PFN_vk##name name;

struct instance {
    void *key;
    VkInstance handle;
    PFN_vkGetInstanceProcAddr next;
    INSTANCE_CALLS(CALL_FIELD)
    struct instance *before;
};

struct device {
    void *key;
    PFN_vkGetDeviceProcAddr next;
    DEVICE_CALLS(CALL_FIELD)
    VkPhysicalDeviceMemoryProperties memory; /* the driver's own */
    uint64_t used[HEAPS_MAX];                /* bytes */
    struct device *before;
};

struct shader {
    VkShaderModule handle;
    uint64_t hash;
    struct shader *before;
};

struct pipeline {
    VkPipeline handle;
    char name[NAME_MAX_BYTES], hash[20];
    struct pipeline *before;
};

struct allocation {
    VkDeviceMemory handle;
    uint32_t heap;
    uint64_t bytes;
    struct allocation *before;
};

/* A command buffer: what the next dispatch would use. */
struct recording {
    VkCommandBuffer handle;
    const struct pipeline *pipeline;
    VkPipelineLayout layout;
    VkShaderStageFlags stages;
    uint32_t word[WORDS_MAX];
    unsigned n;
    struct recording *before;
};

static pthread_mutex_t layer_lock = PTHREAD_MUTEX_INITIALIZER;
static struct instance *instances;
static struct device *devices;
static struct shader *shaders;
static struct pipeline *pipelines;
static struct allocation *allocations;
static struct recording *recordings;

/* The loader's table is the first word of every handle that has one; it tells device from device.
 */
static void *key_of(const void *handle)
{
    return *(void *const *)handle;
}

static void *new_zeroed(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

/* A file beside this library. NULL: it cannot be opened. */
static FILE *open_beside(const char *name, const char *mode)
{
    char path[4096];
    Dl_info here;
    if (!dladdr((void *)&lies, &here))
        return NULL;
    const char *slash = strrchr(here.dli_fname, '/');
    int dir = slash ? (int)(slash - here.dli_fname) : 0;
    snprintf(path, sizeof(path), "%.*s/%s", dir, here.dli_fname, name);
    return fopen(path, mode);
}

__attribute__((format(printf, 1, 2), noreturn)) static void refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("lying layer: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

/* "wordN=" */
static bool read_word(const char *text, unsigned *ret_word, const char **ret_rest)
{
    char *end;
    if (strncmp(text, "word", 4) != 0)
        return false;
    unsigned long word = strtoul(text + 4, &end, 10);
    if (end == text + 4 || *end != '=' || word >= WORDS_MAX)
        return false;
    *ret_word = (unsigned)word;
    *ret_rest = end + 1;
    return true;
}

static void read_condition(const char *text, struct condition *ret)
{
    static const char *const names[] = {"x=", "y=", "z=", "nth="};
    struct condition c = {.subject = SUBJECT_WORD};
    const char *rest = NULL;
    char *end;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(text, names[i], strlen(names[i])) == 0) {
            c.subject = (enum subject)i;
            rest = text + strlen(names[i]);
        }
    }
    if (!rest && !read_word(text, &c.word, &rest))
        refuse("not a condition: %s", text);
    c.first = c.last = strtoull(rest, &end, 10);
    if (*end == '-')
        c.last = strtoull(end + 1, &end, 10);
    if (*end || end == rest)
        refuse("not a range: %s", text);
    *ret = c;
}

static void read_rule(const char *action, char **words, struct rule *rule)
{
    static const char *const names[] = {"drop", "repeat", "halve"};
    const char *value, *text;
    rule->action = SET_WORD;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(action, names[i]) == 0)
            rule->action = (enum action)i;
    }
    if (rule->action == SET_WORD) {
        if (!read_word(action, &rule->word, &value))
            refuse("not a lie: %s", action);
        rule->value = (uint32_t)strtoul(value, NULL, 10);
    }
    text = strtok_r(NULL, " \n", words);
    snprintf(rule->pipeline, sizeof(rule->pipeline), "%s", text ? text : "*");
    while ((text = strtok_r(NULL, " \n", words))) {
        if (rule->n == CONDITIONS_MAX)
            refuse("too many conditions: %s", rule->line);
        read_condition(text, &rule->condition[rule->n++]);
    }
}

static uint64_t read_mib(char **words)
{
    const char *text = strtok_r(NULL, " \n", words);
    return (text ? strtoull(text, NULL, 10) : 0) << 20;
}

static void read_line(char *line)
{
    struct rule *rule = &lies.rule[lies.n];
    char *words;
    if (lies.n == RULES_MAX)
        refuse("too many lies");
    snprintf(rule->line, sizeof(rule->line), "%.*s", (int)strcspn(line, "\n"), line);
    const char *first = strtok_r(line, " \n", &words);
    if (!first)
        return;
    if (strcmp(first, "trace") == 0) {
        lies.trace = open_beside("trace", "a");
    } else if (strcmp(first, "heap") == 0) {
        lies.heap = read_mib(&words);
    } else if (strcmp(first, "free") == 0) {
        lies.free = read_mib(&words);
    } else {
        read_rule(first, &words, rule);
        lies.n++;
    }
}

/* With the lock. */
static void read_lies(void)
{
    char line[256];
    FILE *file = lies.read ? NULL : open_beside("lies", "r");
    lies.read = true;
    while (file && fgets(line, sizeof(line), file))
        read_line(line);
    if (file)
        fclose(file);
}

/* ---- is this dispatch falsified? ---- */

static bool condition_fits(const struct condition *c, const struct rule *rule,
                           const struct recording *r, const uint32_t groups[3])
{
    uint64_t value = 0;
    switch (c->subject) {
    case SUBJECT_X:
    case SUBJECT_Y:
    case SUBJECT_Z:
        value = groups[c->subject];
        break;
    case SUBJECT_NTH:
        value = rule->seen;
        break;
    case SUBJECT_WORD:
        if (c->word >= r->n)
            return false;
        value = r->word[c->word];
        break;
    }
    return value >= c->first && value <= c->last;
}

/* nth is the last to be looked at: it counts what the others let through. */
static bool rule_fits(struct rule *rule, const struct recording *r, const uint32_t groups[3])
{
    if (fnmatch(rule->pipeline, r->pipeline->name, 0) != 0 &&
        fnmatch(rule->pipeline, r->pipeline->hash, 0) != 0)
        return false;
    for (size_t i = 0; i < rule->n; i++) {
        if (rule->condition[i].subject != SUBJECT_NTH &&
            !condition_fits(&rule->condition[i], rule, r, groups))
            return false;
    }
    rule->seen++;
    for (size_t i = 0; i < rule->n; i++) {
        if (rule->condition[i].subject == SUBJECT_NTH &&
            !condition_fits(&rule->condition[i], rule, r, groups))
            return false;
    }
    return true;
}

/* With the lock. NULL: this dispatch is done as it should be. */
static const struct rule *rule_of(const struct recording *r, const uint32_t groups[3])
{
    for (size_t i = 0; i < lies.n; i++) {
        struct rule *rule = &lies.rule[i];
        if (!rule_fits(rule, r, groups))
            continue;
        FILE *told = open_beside("told", "wx");
        if (told) {
            fprintf(told, "%s\n", rule->line);
            fclose(told);
        }
        return rule;
    }
    return NULL;
}

static void trace(const struct recording *r, const uint32_t groups[3])
{
    if (!lies.trace)
        return;
    fprintf(lies.trace, "%s %s %u %u %u", r->pipeline->name[0] ? r->pipeline->name : "-",
            r->pipeline->hash, groups[0], groups[1], groups[2]);
    for (unsigned i = 0; i < r->n && i < TRACED_WORDS; i++)
        fprintf(lies.trace, " %u", r->word[i]);
    fputc('\n', lies.trace);
    fflush(lies.trace);
}

/* ---- shaders, pipelines and command buffers ---- */

static struct device *device_of(const void *handle)
{
    pthread_mutex_lock(&layer_lock);
    struct device *d = devices;
    while (d && d->key != key_of(handle))
        d = d->before;
    pthread_mutex_unlock(&layer_lock);
    return d;
}

/* FNV-1a */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    while (n--)
        hash = (hash ^ *p++) * 0x100000001b3u;
    return hash;
}

static VKAPI_ATTR VkResult VKAPI_CALL lying_CreateShaderModule(VkDevice device,
                                                               const VkShaderModuleCreateInfo *info,
                                                               const VkAllocationCallbacks *memory,
                                                               VkShaderModule *ret)
{
    VkResult result = device_of(device)->CreateShaderModule(device, info, memory, ret);
    if (result != VK_SUCCESS)
        return result;
    struct shader *shader = new_zeroed(sizeof(*shader));
    shader->handle = *ret;
    shader->hash = hash_bytes(0xcbf29ce484222325u, info->pCode, info->codeSize);
    pthread_mutex_lock(&layer_lock);
    shader->before = shaders;
    shaders = shader;
    pthread_mutex_unlock(&layer_lock);
    return result;
}

/* The handle may be that of a pipeline or shader that is gone: the newest counts, and is first. */
static void add_pipeline(VkPipeline handle, const VkComputePipelineCreateInfo *info)
{
    struct pipeline *pipeline = new_zeroed(sizeof(*pipeline));
    const VkSpecializationInfo *constants = info->stage.pSpecializationInfo;
    pthread_mutex_lock(&layer_lock);
    const struct shader *shader = shaders;
    while (shader && shader->handle != info->stage.module)
        shader = shader->before;
    uint64_t hash = shader ? shader->hash : 0;
    if (constants)
        hash = hash_bytes(hash, constants->pData, constants->dataSize);
    pipeline->handle = handle;
    snprintf(pipeline->hash, sizeof(pipeline->hash), "#%016llx", (unsigned long long)hash);
    pipeline->before = pipelines;
    pipelines = pipeline;
    pthread_mutex_unlock(&layer_lock);
}

static VKAPI_ATTR VkResult VKAPI_CALL lying_CreateComputePipelines(
    VkDevice device, VkPipelineCache cache, uint32_t n, const VkComputePipelineCreateInfo *info,
    const VkAllocationCallbacks *memory, VkPipeline *ret)
{
    VkResult result =
        device_of(device)->CreateComputePipelines(device, cache, n, info, memory, ret);
    for (uint32_t i = 0; i < n; i++) {
        if (ret[i] != VK_NULL_HANDLE)
            add_pipeline(ret[i], &info[i]);
    }
    return result;
}

/* With the lock. */
static struct pipeline *pipeline_of(uint64_t handle)
{
    struct pipeline *p = pipelines;
    while (p && (uint64_t)p->handle != handle)
        p = p->before;
    return p;
}

static VKAPI_ATTR VkResult VKAPI_CALL
lying_SetDebugUtilsObjectNameEXT(VkDevice device, const VkDebugUtilsObjectNameInfoEXT *info)
{
    struct device *d = device_of(device);
    pthread_mutex_lock(&layer_lock);
    struct pipeline *pipeline =
        info->objectType == VK_OBJECT_TYPE_PIPELINE ? pipeline_of(info->objectHandle) : NULL;
    if (pipeline && info->pObjectName)
        snprintf(pipeline->name, sizeof(pipeline->name), "%s", info->pObjectName);
    pthread_mutex_unlock(&layer_lock);
    return d->SetDebugUtilsObjectNameEXT ? d->SetDebugUtilsObjectNameEXT(device, info) : VK_SUCCESS;
}

/* With the lock. */
static struct recording *recording_of(VkCommandBuffer handle)
{
    struct recording *r = recordings;
    while (r && r->handle != handle)
        r = r->before;
    if (r)
        return r;
    r = new_zeroed(sizeof(*r));
    r->handle = handle;
    r->before = recordings;
    recordings = r;
    return r;
}

static VKAPI_ATTR void VKAPI_CALL lying_CmdBindPipeline(VkCommandBuffer commands,
                                                        VkPipelineBindPoint point,
                                                        VkPipeline pipeline)
{
    struct device *d = device_of(commands);
    if (point == VK_PIPELINE_BIND_POINT_COMPUTE) {
        pthread_mutex_lock(&layer_lock);
        recording_of(commands)->pipeline = pipeline_of((uint64_t)pipeline);
        pthread_mutex_unlock(&layer_lock);
    }
    d->CmdBindPipeline(commands, point, pipeline);
}

static VKAPI_ATTR void VKAPI_CALL lying_CmdPushConstants(VkCommandBuffer commands,
                                                         VkPipelineLayout layout,
                                                         VkShaderStageFlags stages, uint32_t offset,
                                                         uint32_t size, const void *values)
{
    struct device *d = device_of(commands);
    if (offset + size <= sizeof(uint32_t) * WORDS_MAX) {
        pthread_mutex_lock(&layer_lock);
        struct recording *r = recording_of(commands);
        memcpy((char *)r->word + offset, values, size);
        r->n = (offset + size) / (unsigned)sizeof(uint32_t);
        r->layout = layout;
        r->stages = stages;
        pthread_mutex_unlock(&layer_lock);
    }
    d->CmdPushConstants(commands, layout, stages, offset, size, values);
}

/* ---- a dispatch, true or false ---- */

static void set_word(const struct device *d, const struct recording *r, unsigned word,
                     uint32_t value)
{
    if (word < r->n)
        d->CmdPushConstants(r->handle, r->layout, r->stages, word * (uint32_t)sizeof(value),
                            sizeof(value), &value);
}

static void halve(uint32_t groups[3])
{
    unsigned most = 0;
    for (unsigned i = 1; i < 3; i++) {
        if (groups[i] > groups[most])
            most = i;
    }
    groups[most] /= 2;
}

static void dispatch_twice(const struct device *d, VkCommandBuffer commands,
                           const uint32_t groups[3])
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT,
    };
    d->CmdDispatch(commands, groups[0], groups[1], groups[2]);
    d->CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                          VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &barrier, 0, NULL, 0, NULL);
    d->CmdDispatch(commands, groups[0], groups[1], groups[2]);
}

static void dispatch_falsely(const struct device *d, const struct rule *rule,
                             const struct recording *r, uint32_t groups[3])
{
    switch (rule->action) {
    case DROP:
        break;
    case REPEAT:
        dispatch_twice(d, r->handle, groups);
        break;
    case HALVE:
        halve(groups);
        d->CmdDispatch(r->handle, groups[0], groups[1], groups[2]);
        break;
    case SET_WORD:
        set_word(d, r, rule->word, rule->value);
        d->CmdDispatch(r->handle, groups[0], groups[1], groups[2]);
        if (rule->word < r->n)
            set_word(d, r, rule->word, r->word[rule->word]);
        break;
    }
}

static VKAPI_ATTR void VKAPI_CALL lying_CmdDispatch(VkCommandBuffer commands, uint32_t x,
                                                    uint32_t y, uint32_t z)
{
    struct device *d = device_of(commands);
    uint32_t groups[3] = {x, y, z};
    pthread_mutex_lock(&layer_lock);
    struct recording r = *recording_of(commands);
    const struct rule *rule = r.pipeline ? rule_of(&r, groups) : NULL;
    if (r.pipeline)
        trace(&r, groups);
    pthread_mutex_unlock(&layer_lock);
    if (rule)
        dispatch_falsely(d, rule, &r, groups);
    else
        d->CmdDispatch(commands, x, y, z);
}

/* ---- memory ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_own(const VkPhysicalDeviceMemoryProperties *memory, uint32_t heap)
{
    return memory->memoryHeaps[heap].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
}

static VKAPI_ATTR VkResult VKAPI_CALL lying_AllocateMemory(VkDevice device,
                                                           const VkMemoryAllocateInfo *info,
                                                           const VkAllocationCallbacks *memory,
                                                           VkDeviceMemory *ret)
{
    struct device *d = device_of(device);
    uint32_t heap = d->memory.memoryTypes[info->memoryTypeIndex].heapIndex;
    pthread_mutex_lock(&layer_lock);
    bool fits = !lies.free || !is_own(&d->memory, heap) ||
                d->used[heap] + info->allocationSize <= lies.free;
    pthread_mutex_unlock(&layer_lock);
    if (!fits)
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    VkResult result = d->AllocateMemory(device, info, memory, ret);
    if (result != VK_SUCCESS)
        return result;
    struct allocation *a = new_zeroed(sizeof(*a));
    *a = (struct allocation){*ret, heap, info->allocationSize, NULL};
    pthread_mutex_lock(&layer_lock);
    a->before = allocations;
    allocations = a;
    d->used[heap] += a->bytes;
    pthread_mutex_unlock(&layer_lock);
    return result;
}

static VKAPI_ATTR void VKAPI_CALL lying_FreeMemory(VkDevice device, VkDeviceMemory handle,
                                                   const VkAllocationCallbacks *memory)
{
    struct device *d = device_of(device);
    pthread_mutex_lock(&layer_lock);
    struct allocation **at = &allocations;
    while (*at && (*at)->handle != handle)
        at = &(*at)->before;
    struct allocation *gone = *at;
    if (gone) {
        d->used[gone->heap] -= gone->bytes;
        *at = gone->before;
        free(gone);
    }
    pthread_mutex_unlock(&layer_lock);
    d->FreeMemory(device, handle, memory);
}

/* The only device of the tests; with several each is told what all of them use. */
static uint64_t used_of(uint32_t heap)
{
    uint64_t used = 0;
    pthread_mutex_lock(&layer_lock);
    for (const struct device *d = devices; d; d = d->before)
        used += d->used[heap];
    pthread_mutex_unlock(&layer_lock);
    return used;
}

static void shrink_heaps(VkPhysicalDeviceMemoryProperties *memory)
{
    for (uint32_t i = 0; i < memory->memoryHeapCount && lies.heap; i++) {
        if (is_own(memory, i))
            memory->memoryHeaps[i].size = least(memory->memoryHeaps[i].size, lies.heap);
    }
}

static void shrink_budget(const VkPhysicalDeviceMemoryProperties *memory,
                          VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget)
{
    for (uint32_t i = 0; i < memory->memoryHeapCount && lies.free; i++) {
        if (!is_own(memory, i))
            continue;
        budget->heapBudget[i] = least(memory->memoryHeaps[i].size, lies.free);
        budget->heapUsage[i] = used_of(i);
    }
}

static struct instance *instance_of(const void *handle)
{
    pthread_mutex_lock(&layer_lock);
    struct instance *i = instances;
    while (i && i->key != key_of(handle))
        i = i->before;
    pthread_mutex_unlock(&layer_lock);
    return i;
}

static VKAPI_ATTR void VKAPI_CALL
lying_GetPhysicalDeviceMemoryProperties(VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties *ret)
{
    instance_of(gpu)->GetPhysicalDeviceMemoryProperties(gpu, ret);
    shrink_heaps(ret);
}

static VKAPI_ATTR void VKAPI_CALL lying_GetPhysicalDeviceMemoryProperties2(
    VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties2 *ret)
{
    instance_of(gpu)->GetPhysicalDeviceMemoryProperties2(gpu, ret);
    shrink_heaps(&ret->memoryProperties);
    for (VkBaseOutStructure *more = ret->pNext; more; more = more->pNext) {
        if (more->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT)
            shrink_budget(&ret->memoryProperties,
                          (VkPhysicalDeviceMemoryBudgetPropertiesEXT *)more);
    }
}

/* The driver's list; where memory is short VK_EXT_memory_budget is in it too, at its end. */
static VKAPI_ATTR VkResult VKAPI_CALL lying_EnumerateDeviceExtensionProperties(
    VkPhysicalDevice gpu, const char *layer, uint32_t *n, VkExtensionProperties *ret)
{
    static const VkExtensionProperties budget = {VK_EXT_MEMORY_BUDGET_EXTENSION_NAME,
                                                 VK_EXT_MEMORY_BUDGET_SPEC_VERSION};
    struct instance *i = instance_of(gpu);
    uint32_t room = *n;
    if (!lies.free || layer)
        return i->EnumerateDeviceExtensionProperties(gpu, layer, n, ret);
    if (!ret) {
        VkResult result = i->EnumerateDeviceExtensionProperties(gpu, NULL, n, NULL);
        *n += 1;
        return result;
    }
    VkResult result = i->EnumerateDeviceExtensionProperties(gpu, NULL, n, ret);
    for (uint32_t k = 0; k < *n; k++) {
        if (strcmp(ret[k].extensionName, budget.extensionName) == 0)
            return result;
    }
    if (*n == room)
        return VK_INCOMPLETE;
    ret[(*n)++] = budget;
    return result;
}

/* ---- instances and devices ---- */

/* The pipelines' names: Debian's engine tells them when it finds this variable. It runs in an
 * environment of its own, and asks for the instance's extensions before it looks. */
static void ask_for_names(void)
{
    setenv("GGML_VK_DEBUG_MARKERS", "1", 0);
}

LAYER_EXPORT VKAPI_ATTR VkResult VKAPI_CALL
lying_extensions(const VkEnumerateInstanceExtensionPropertiesChain *chain, const char *layer,
                 uint32_t *n, VkExtensionProperties *ret);

/* Named in the manifest: it is called before there is an instance. */
LAYER_EXPORT VKAPI_ATTR VkResult VKAPI_CALL
lying_extensions(const VkEnumerateInstanceExtensionPropertiesChain *chain, const char *layer,
                 uint32_t *n, VkExtensionProperties *ret)
{
    ask_for_names();
    return chain->pfnNextLayer(chain->pNextLink, layer, n, ret);
}

/* The link of the loader's chain that belongs to this layer; it is moved on to the next one. */
static VkLayerInstanceCreateInfo *instance_link(const VkInstanceCreateInfo *info)
{
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
    while (link && (link->sType != VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO ||
                    link->function != VK_LAYER_LINK_INFO))
        link = (VkLayerInstanceCreateInfo *)link->pNext;
    return link;
}

static VkLayerDeviceCreateInfo *device_link(const VkDeviceCreateInfo *info)
{
    VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
    while (link && (link->sType != VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO ||
                    link->function != VK_LAYER_LINK_INFO))
        link = (VkLayerDeviceCreateInfo *)link->pNext;
    return link;
}

static VKAPI_ATTR VkResult VKAPI_CALL lying_CreateInstance(const VkInstanceCreateInfo *info,
                                                           const VkAllocationCallbacks *memory,
                                                           VkInstance *ret)
{
    VkLayerInstanceCreateInfo *link = instance_link(info);
    if (!link)
        return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    PFN_vkCreateInstance create = (PFN_vkCreateInstance)next(NULL, "vkCreateInstance");
    VkResult result = create(info, memory, ret);
    if (result != VK_SUCCESS)
        return result;
    struct instance *i = new_zeroed(sizeof(*i));
    i->key = key_of(*ret);
    i->handle = *ret;
    i->next = next;
#define CALL_FIND(name) i->name = (PFN_vk##name)next(*ret, "vk" #name);
    INSTANCE_CALLS(CALL_FIND)
#undef CALL_FIND
    pthread_mutex_lock(&layer_lock);
    read_lies();
    i->before = instances;
    instances = i;
    pthread_mutex_unlock(&layer_lock);
    return result;
}

/* Does the driver itself have this extension? */
static bool driver_has(const struct instance *i, VkPhysicalDevice gpu, const char *name)
{
    uint32_t n = 0;
    i->EnumerateDeviceExtensionProperties(gpu, NULL, &n, NULL);
    VkExtensionProperties *list = new_zeroed((n + 1) * sizeof(*list));
    i->EnumerateDeviceExtensionProperties(gpu, NULL, &n, list);
    bool found = false;
    for (uint32_t k = 0; k < n; k++)
        found = found || strcmp(list[k].extensionName, name) == 0;
    free(list);
    return found;
}

static VKAPI_ATTR VkResult VKAPI_CALL lying_CreateDevice(VkPhysicalDevice gpu,
                                                         const VkDeviceCreateInfo *info,
                                                         const VkAllocationCallbacks *memory,
                                                         VkDevice *ret)
{
    struct instance *i = instance_of(gpu);
    VkLayerDeviceCreateInfo *link = device_link(info);
    if (!link)
        return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    PFN_vkGetDeviceProcAddr next_of_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    /* What only the layer has is not asked of the driver. */
    VkDeviceCreateInfo asked = *info;
    const char **names = new_zeroed((info->enabledExtensionCount + 1) * sizeof(*names));
    asked.enabledExtensionCount = 0;
    for (uint32_t k = 0; k < info->enabledExtensionCount; k++) {
        const char *name = info->ppEnabledExtensionNames[k];
        if (strcmp(name, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME) != 0 || driver_has(i, gpu, name))
            names[asked.enabledExtensionCount++] = name;
    }
    asked.ppEnabledExtensionNames = names;
    PFN_vkCreateDevice create = (PFN_vkCreateDevice)next(i->handle, "vkCreateDevice");
    VkResult result = create(gpu, &asked, memory, ret);
    free(names);
    if (result != VK_SUCCESS)
        return result;
    struct device *d = new_zeroed(sizeof(*d));
    d->key = key_of(*ret);
    d->next = next_of_device;
    i->GetPhysicalDeviceMemoryProperties(gpu, &d->memory);
#define CALL_FIND(name) d->name = (PFN_vk##name)next_of_device(*ret, "vk" #name);
    DEVICE_CALLS(CALL_FIND)
#undef CALL_FIND
    pthread_mutex_lock(&layer_lock);
    d->before = devices;
    devices = d;
    pthread_mutex_unlock(&layer_lock);
    return result;
}

/* ---- what the loader asks for ---- */

static PFN_vkVoidFunction own_function(const char *name);

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL lying_GetDeviceProcAddr(VkDevice device,
                                                                        const char *name)
{
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : device_of(device)->next(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL lying_GetInstanceProcAddr(VkInstance instance,
                                                                          const char *name)
{
    PFN_vkVoidFunction own = own_function(name);
    if (own || !instance)
        return own;
    return instance_of(instance)->next(instance, name);
}

static PFN_vkVoidFunction own_function(const char *name)
{
#define CALL_ROW(call) {"vk" #call, (PFN_vkVoidFunction)lying_##call},
    static const struct {
        const char *name;
        PFN_vkVoidFunction call;
    } own[] = {CALL_ROW(GetInstanceProcAddr) CALL_ROW(GetDeviceProcAddr) CALL_ROW(CreateInstance)
                   CALL_ROW(CreateDevice) CALL_ROW(GetPhysicalDeviceMemoryProperties)
                       CALL_ROW(GetPhysicalDeviceMemoryProperties2)
                           CALL_ROW(EnumerateDeviceExtensionProperties){
                               "vkGetPhysicalDeviceMemoryProperties2KHR",
                               (PFN_vkVoidFunction)lying_GetPhysicalDeviceMemoryProperties2},
               CALL_ROW(CreateShaderModule) CALL_ROW(CreateComputePipelines)
                   CALL_ROW(SetDebugUtilsObjectNameEXT) CALL_ROW(AllocateMemory)
                       CALL_ROW(FreeMemory) CALL_ROW(CmdBindPipeline) CALL_ROW(CmdPushConstants)
                           CALL_ROW(CmdDispatch)};
#undef CALL_ROW
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(own[i].name, name) == 0)
            return own[i].call;
    }
    return NULL;
}

LAYER_EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version)
{
    ask_for_names();
    version->loaderLayerInterfaceVersion = 2;
    version->pfnGetInstanceProcAddr = lying_GetInstanceProcAddr;
    version->pfnGetDeviceProcAddr = lying_GetDeviceProcAddr;
    version->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
