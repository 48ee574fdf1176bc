/* llama_server_http.c - llama.cpp's server: what it is asked over HTTP, and how its answers read.
 */
#include "engine/engine_private.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

const struct engine_figures llama_figures = {
    .object = "timings",
    .prompt = "prompt_n",
    .cached = "cache_n",
    .tokens = "predicted_n",
    .prompt_ms = "prompt_ms",
    .tokens_ms = "predicted_ms",
    .prompt_per_second = "prompt_per_second",
    .tokens_per_second = "predicted_per_second",
};

/* ---- a streamed chat ---- */

/* The messages of the request; a new reference, NULL when they are none. */
static json_t *llama_messages(const struct engine_chat *chat)
{
    if (chat->prompt)
        return json_pack("[{s:s, s:s}]", "role", "user", "content", chat->prompt);
    json_t *messages = json_loads(chat->messages ? chat->messages : "", 0, NULL);
    if (!json_is_array(messages)) {
        json_decref(messages);
        return NULL;
    }
    return messages;
}

/* The request as text, to be freed; NULL with *err filled. */
char *llama_chat_request(const struct engine_chat *chat, struct gfxb_error *err)
{
    json_t *messages = llama_messages(chat);
    if (!messages) {
        error_set(err, EINVAL, "%s",
                  chat->prompt ? "the prompt is not UTF-8 text"
                               : "the messages are not a JSON array");
        return NULL;
    }
    json_t *request = json_pack("{s:o, s:b, s:{s:b}}", "messages", messages, "stream", 1,
                                "stream_options", "include_usage", 1);
    bool ok = request != NULL;
    if (ok && chat->max_tokens)
        ok = json_object_set_new(request, "max_tokens", json_integer(chat->max_tokens)) == 0;
    if (ok && chat->temperature >= 0.0)
        ok = json_object_set_new(request, "temperature", json_real(chat->temperature)) == 0;
    if (ok && chat->fixed)
        ok = json_object_set_new(request, "cache_prompt", json_false()) == 0 &&
             json_object_set_new(request, "seed", json_integer(1)) == 0;
    if (ok && chat->probabilities)
        ok = json_object_set_new(request, "logprobs", json_true()) == 0 &&
             json_object_set_new(request, "top_logprobs", json_integer(1)) == 0;
    json_object_update_missing(request, (json_t *)chat->options);
    char *text = ok ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (!text)
        xalloc_die();
    return text;
}

static void llama_refusal(const json_t *error, char *ret_text, size_t size)
{
    const char *message = json_string_value(json_object_get(error, "message"));
    if (!message)
        message = json_string_value(error);
    snprintf(ret_text, size, "%s", message ? message : "an error without words");
}

static struct str llama_text(const json_t *text)
{
    if (!json_is_string(text))
        return STR_NONE;
    return (struct str){json_string_value(text), json_string_length(text)};
}

static int64_t llama_count(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    json_int_t count = json_is_integer(value) ? json_integer_value(value) : -1;
    return count >= 0 && count <= INT32_MAX ? (int64_t)count : -1;
}

static double llama_rate(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    double rate = json_is_number(value) ? json_number_value(value) : 0.0;
    return rate > 0.0 && isfinite(rate) ? rate : 0.0;
}

static double llama_least_probability(const json_t *choice)
{
    const json_t *tokens = json_object_get(json_object_get(choice, "logprobs"), "content");
    double least = -1.0;
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *logarithm = json_object_get(json_array_get(tokens, i), "logprob");
        double probability = json_is_number(logarithm) ? exp(json_number_value(logarithm)) : -1.0;
        if (probability >= 0.0 && (least < 0.0 || probability < least))
            least = probability;
    }
    return least;
}

int llama_read_chunk(struct str field, struct str value, struct engine_chunk *ret_chunk)
{
    struct engine_chunk chunk = {.tokens = -1};
    if (str_is(value, "[DONE]"))
        return 1;
    chunk.json = json_loadb(value.p ? value.p : "", value.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(chunk.json)) {
        json_decref(chunk.json);
        return -EPROTO;
    }
    const json_t *choice = json_array_get(json_object_get(chunk.json, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta");
    const json_t *usage = json_object_get(chunk.json, "usage");
    const json_t *timings = json_object_get(chunk.json, llama_figures.object);
    const json_t *error = json_object_get(chunk.json, "error");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    chunk.text = llama_text(json_object_get(delta, "content"));
    chunk.thinking = llama_text(json_object_get(delta, "reasoning_content"));
    chunk.finished = finish != NULL;
    chunk.cut = finish && strcmp(finish, "length") == 0;
    chunk.tokens = llama_count(usage, "completion_tokens");
    chunk.prompt_tokens = llama_count(usage, "prompt_tokens");
    chunk.least_probability = llama_least_probability(choice);
    chunk.tokens_per_second = llama_rate(timings, llama_figures.tokens_per_second);
    chunk.prompt_per_second = llama_rate(timings, llama_figures.prompt_per_second);
    if (error || str_is(field, "error"))
        llama_refusal(error ? error : chunk.json, chunk.refusal, sizeof(chunk.refusal));
    *ret_chunk = chunk;
    return 0;
}

void llama_read_refusal(struct str body, char *ret_text, size_t size)
{
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    llama_refusal(json_object_get(answer, "error"), ret_text, size);
    json_decref(answer);
}

/* A chat's context, or the batch that holds all of a text that becomes a vector. */
bool llama_read_excess(struct str body, uint64_t *ret_tokens, uint64_t *ret_most)
{
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    const char *type = "", *message = "";
    json_int_t prompt = 0, context = 0;
    long long tokens = 0, most = 0;
    json_unpack(answer, "{s:{s?s, s?s, s?I, s?I}}", "error", "type", &type, "message", &message,
                "n_prompt_tokens", &prompt, "n_ctx", &context);
    bool chat = strcmp(type, "exceed_context_size_error") == 0;
    if (chat) {
        tokens = prompt;
        most = context;
    } else {
        sscanf(message,
               "input (%lld tokens) is too large to process. increase the physical batch size "
               "(current batch size: %lld)",
               &tokens, &most);
    }
    json_decref(answer);
    *ret_tokens = tokens > 0 ? (uint64_t)tokens : 0;
    *ret_most = most > 0 ? (uint64_t)most : 0;
    return chat || most > 0;
}

/* ---- a raw completion that is asked for its figures alone ---- */

int llama_read_ids(struct str body, json_t **ret_ids)
{
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, 0, NULL);
    json_t *ids = json_object_get(answer, "tokens"), *id;
    size_t i;
    bool ok = json_array_size(ids) > 0;
    json_array_foreach(ids, i, id) ok = ok && json_is_integer(id) && json_integer_value(id) >= 0;
    if (ok)
        *ret_ids = json_incref(ids);
    json_decref(answer);
    return ok ? 0 : -EPROTO;
}

/* Takes the prompt over. */
static char *llama_completion(json_t *prompt, unsigned answer_tokens)
{
    json_t *request = json_pack("{s:o, s:i, s:b, s:b, s:b, s:i, s:i}", "prompt", prompt,
                                "n_predict", (int)answer_tokens, "ignore_eos", 1, "cache_prompt", 0,
                                "stream", 0, "temperature", 0, "seed", 1);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (!text)
        xalloc_die();
    return text;
}

char *llama_timed_request(const json_t *ids, unsigned prompt_tokens, unsigned answer_tokens)
{
    json_t *prompt = json_array();
    size_t n = json_array_size(ids);
    for (size_t i = 0; i < prompt_tokens && n; i++)
        json_array_append(prompt, json_array_get(ids, i % n));
    return llama_completion(prompt, answer_tokens);
}

char *llama_tokens_request(const struct engine_tokens *prompt, size_t n, unsigned answer_tokens)
{
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *ids = json_array();
        for (size_t k = 0; k < prompt[i].n; k++)
            json_array_append_new(ids, json_integer(prompt[i].id[k]));
        json_array_append_new(all, ids);
    }
    json_t *single = n == 1 ? json_incref(json_array_get(all, 0)) : NULL;
    char *text = llama_completion(single ? single : json_incref(all), answer_tokens);
    json_decref(all);
    return text;
}

/* The answer to one prompt is an object, to several a list of them. */
int llama_read_answer(struct str body, size_t i, char *ret_text, size_t size)
{
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, JSON_ALLOW_NUL, NULL);
    const json_t *own = json_is_array(answer) ? json_array_get(answer, i) : answer;
    const char *text = json_string_value(json_object_get(own, "content"));
    if (text)
        snprintf(ret_text, size, "%s", text);
    json_decref(answer);
    return text ? 0 : -EPROTO;
}

char *llama_steps_request(const char *prompt, unsigned tokens, unsigned likely, unsigned slot)
{
    json_t *request =
        json_pack("{s:s, s:i, s:i, s:i, s:b, s:b, s:b, s:b, s:i, s:i}", "prompt", prompt, "id_slot",
                  (int)slot, "n_predict", (int)tokens, "n_probs", (int)likely, "return_tokens", 1,
                  "ignore_eos", 1, "cache_prompt", 0, "stream", 0, "temperature", 0, "seed", 1);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (!text)
        xalloc_die();
    return text;
}

static bool llama_read_step(const json_t *told, struct engine_step *ret_step)
{
    struct engine_step step = {.n = 0};
    const json_t *likely = json_object_get(told, "top_logprobs"), *one;
    const size_t most = sizeof(step.likely) / sizeof(step.likely[0]);
    int64_t id = llama_count(told, "id");
    size_t i;
    json_array_foreach(likely, i, one)
    {
        const json_t *log = json_object_get(one, "logprob");
        int64_t token = llama_count(one, "id");
        if (i == most || token < 0 || !json_is_number(log))
            break;
        step.likely[step.n].token = (uint32_t)token;
        step.likely[step.n++].log = json_number_value(log);
    }
    step.token = (uint32_t)id;
    *ret_step = step;
    return id >= 0 && step.n > 0;
}

/* Bytes that are no whole character yet are told late or not at all: what follows is left out. */
int llama_read_steps(struct str body, struct engine_steps *ret_steps)
{
    struct engine_steps steps = {.n = 0};
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, JSON_ALLOW_NUL, NULL);
    const json_t *told = json_object_get(answer, "completion_probabilities");
    const json_t *tokens = json_object_get(answer, "tokens");
    bool ok = json_is_array(told);
    while (steps.n < sizeof(steps.step) / sizeof(steps.step[0]) &&
           llama_read_step(json_array_get(told, steps.n), &steps.step[steps.n]) &&
           (!json_array_size(tokens) || json_integer_value(json_array_get(tokens, steps.n)) ==
                                            (json_int_t)steps.step[steps.n].token))
        steps.n++;
    json_decref(answer);
    *ret_steps = steps;
    return ok ? 0 : -EPROTO;
}

/* ---- slots ---- */

char *llama_slot_path(unsigned slot, bool save)
{
    return xasprintf("/slots/%u?action=%s", slot, save ? "save" : "restore");
}

char *llama_slot_request(unsigned slot)
{
    return xasprintf("{\"filename\":\"%u\"}", slot);
}

/* A slot that was never used tells no count. */
int llama_read_slots(struct str body, unsigned *ret_tokens, size_t most)
{
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, JSON_ALLOW_NUL, NULL), *slot;
    int result = json_is_array(answer) && json_array_size(answer) <= most ? 0 : -EPROTO;
    size_t i;
    if (result == 0) {
        json_array_foreach(answer, i, slot)
        {
            int64_t n = llama_count(slot, "n_prompt_tokens");
            ret_tokens[i] = n > 0 && n <= INT32_MAX ? (unsigned)n : 0;
            result++;
        }
    }
    json_decref(answer);
    return result;
}

int llama_read_timings(struct str body, struct engine_timings *ret_timings)
{
    json_t *answer = json_loadb(body.p ? body.p : "", body.n, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(answer)) {
        json_decref(answer);
        return -EPROTO;
    }
    const json_t *told = json_object_get(answer, llama_figures.object);
    int64_t prompt = llama_count(told, llama_figures.prompt),
            tokens = llama_count(told, llama_figures.tokens);
    *ret_timings = (struct engine_timings){
        .prompt_tokens = prompt > 0 ? (unsigned)prompt : 0,
        .tokens = tokens > 0 ? (unsigned)tokens : 0,
        .prompt_per_second = prompt > 1 ? llama_rate(told, llama_figures.prompt_per_second) : 0.0,
        .tokens_per_second = tokens > 1 ? llama_rate(told, llama_figures.tokens_per_second) : 0.0,
    };
    json_decref(answer);
    return 0;
}
