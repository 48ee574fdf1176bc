// kits.mjs --list | WORDS URL: the libraries that programs build on (OpenAI's and Anthropic's helpers, Vercel's AI SDK,
// LangChain, OpenAI's agents) against a running server: all cases with WORDS in their names. Prints {case: what failed}.
// MODULES says where node_modules is.
// Models are parrots (tests/lib/parrot.py): "parrot", "thinker" (it can think), "strict" (a late system message is
// refused by its template), "embedder".
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , name, url] = process.argv;
const require = createRequire(`${process.env.MODULES}/x.js`);
const load = async (module) => import(pathToFileURL(require.resolve(module)));
const HELLO = 'Hello from the parrot.';
const DONE = 'The tool has answered.';
const ADA = { name: 'Ada Lovelace', age: 36 };
const collect = async (stream) => {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
};
const person = async () => {
  const { z } = await load('zod');
  return { z, schema: z.object({ name: z.string(), age: z.number() }), city: z.object({ city: z.string() }) };
};
const weather = {
  name: 'get_weather',
  description: 'The weather of a city.',
  schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false },
};
const clock = {
  name: 'get_time',
  description: 'The time of a zone.',
  schema: { type: 'object', properties: { zone: { type: 'string' } }, required: ['zone'], additionalProperties: false },
};
const BOTH = { get_weather: { city: 'Rome' }, get_time: { zone: 'UTC+1' } };

/* ---- OpenAI ---- */

const openai = async () => new (await load('openai')).default({ baseURL: url + '/v1', apiKey: 'any', maxRetries: 0 });
const chatTool = (t) => ({ type: 'function', function: { name: t.name, description: t.description, parameters: t.schema } });
const responsesTool = (t) => ({ type: 'function', name: t.name, description: t.description, parameters: t.schema, strict: true });

async function openaiChat() {
  const client = await openai(), { schema } = await person();
  const { zodResponseFormat } = await load('openai/helpers/zod');
  const parsed = await client.chat.completions.parse({
    model: 'parrot', messages: [{ role: 'user', content: 'PERSON' }], response_format: zodResponseFormat(schema, 'person'),
  });
  assert.deepEqual(parsed.choices[0].message.parsed, ADA);
  const asked = [];
  const tool = (t) => ({
    type: 'function',
    function: {
      name: t.name, description: t.description, parameters: t.schema, parse: JSON.parse,
      function: (args) => { asked.push([t.name, args]); return 'fine'; },
    },
  });
  const runner = client.chat.completions.runTools({
    model: 'parrot', messages: [{ role: 'user', content: 'TWOCALLS' }], tools: [tool(weather), tool(clock)], stream: true,
  });
  assert.equal(await runner.finalContent(), DONE);
  assert.deepEqual(Object.fromEntries(asked), BOTH);
  const stream = client.chat.completions.stream({
    model: 'parrot', messages: [{ role: 'developer', content: 'Be brief.' }, { role: 'user', content: 'x' }],
  });
  assert.equal((await stream.finalChatCompletion()).choices[0].message.content, HELLO);
  for (const model of ['parrot', 'strict']) { // a developer message in the middle
    const r = await client.chat.completions.create({
      model, messages: [{ role: 'user', content: 'x' }, { role: 'assistant', content: 'y' },
        { role: 'developer', content: 'Be brief.' }, { role: 'user', content: 'z' }],
    });
    assert.equal(r.choices[0].message.content, HELLO);
  }
}

async function openaiResponses() {
  const client = await openai(), { schema } = await person();
  const { zodTextFormat } = await load('openai/helpers/zod');
  const parsed = await client.responses.parse({ model: 'parrot', input: 'PERSON', text: { format: zodTextFormat(schema, 'person') } });
  assert.deepEqual(parsed.output_parsed, ADA);
  const stream = client.responses.stream({ model: 'parrot', input: 'TWOCALLS', tools: [weather, clock].map(responsesTool) });
  const events = await collect(stream), last = await stream.finalResponse();
  assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
  const calls = last.output.filter((item) => item.type === 'function_call');
  assert.deepEqual(Object.fromEntries(calls.map((c) => [c.name, JSON.parse(c.arguments)])), BOTH);
  const done = events.filter((e) => e.type === 'response.function_call_arguments.done');
  assert.deepEqual(done.map((e) => e.arguments), calls.map((c) => c.arguments));
  assert.deepEqual(done.map((e) => last.output[e.output_index].call_id), calls.map((c) => c.call_id));
  const answer = await client.responses.create({
    model: 'strict', instructions: 'Be brief.', tools: [weather, clock].map(responsesTool),
    input: [{ role: 'user', content: 'TWOCALLS' }, ...last.output,
      ...calls.map((c) => ({ type: 'function_call_output', call_id: c.call_id, output: 'fine' }))],
  });
  assert.equal(answer.output_text, DONE);
  const cut = await client.responses.create({ model: 'parrot', input: 'STOPPER', max_output_tokens: 3 });
  assert.equal(cut.status, 'incomplete');
  assert.equal(cut.incomplete_details.reason, 'max_output_tokens');
  const thought = await client.responses.create({ model: 'thinker', input: 'THINKING' });
  assert.equal(thought.output[0].type, 'reasoning');
  assert.equal(thought.output_text, 'The final word is 42.');
  const hosted = { type: 'web_search' }, offer = { model: 'parrot', input: 'x', tools: [hosted, responsesTool(weather)] };
  const offered = await client.responses.create(offer); // as Codex does in every request
  assert.deepEqual(offered.tools.map((t) => t.type), ['function']);
  for (const more of [{ previous_response_id: 'resp_1' }, { tools: [hosted] }, { tool_choice: hosted }])
    await assert.rejects(client.responses.create({ ...offer, ...more }),
      (e) => e.status === 400 && e.param === Object.keys(more)[0]);
}

async function openaiEmbeddings() {
  const client = await openai();
  const r = await client.embeddings.create({ model: 'embedder', input: ['one', 'two'] }); // base64 on the wire
  const f = await client.embeddings.create({ model: 'embedder', input: ['one', 'two'], encoding_format: 'float' });
  for (const i of [0, 1]) {
    assert.equal(r.data[i].index, i);
    assert.equal(r.data[i].embedding.length, 64);
    r.data[i].embedding.forEach((x, k) => assert.ok(Math.abs(x - f.data[i].embedding[k]) < 1e-5));
  }
}

/* ---- Anthropic ---- */

const anthropic = async () =>
  new (await load('@anthropic-ai/sdk')).default({ baseURL: url, apiKey: 'any', maxRetries: 0 });
const ask = (content, model = 'parrot') => ({ model, max_tokens: 500, messages: [{ role: 'user', content }] });
const anthropicTool = (t) => ({ name: t.name, description: t.description, input_schema: t.schema });

async function anthropicMessages() {
  const client = await anthropic(), tools = [weather, clock].map(anthropicTool);
  const stream = client.messages.stream({ ...ask('TWOCALLS'), tools });
  const events = await collect(stream), message = await stream.finalMessage();
  const uses = message.content.filter((b) => b.type === 'tool_use');
  assert.deepEqual(Object.fromEntries(uses.map((b) => [b.name, b.input])), BOTH);
  assert.equal(message.stop_reason, 'tool_use');
  let open = -1, next = 0; // one block after the other
  for (const e of events) {
    if (e.type === 'content_block_start') {
      assert.ok(open === -1 && e.index === next++);
      open = e.index;
    } else if (e.type.startsWith('content_block')) {
      assert.equal(e.index, open);
      open = e.type === 'content_block_stop' ? -1 : open;
    }
  }
  const results = uses.map((b) => ({ type: 'tool_result', tool_use_id: b.id, content: 'fine' }));
  const last = await client.messages.create({
    ...ask('TWOCALLS', 'strict'), system: 'Be brief.', tools,
    messages: [{ role: 'user', content: 'TWOCALLS' }, { role: 'assistant', content: message.content }, { role: 'user', content: results }],
  });
  assert.equal(last.content[0].text, DONE);
  const runner = client.beta.messages.toolRunner({
    ...ask('WEATHER'), tools: [{ ...anthropicTool(weather), run: ({ city }) => city, parse: (x) => x }],
  });
  assert.equal((await runner).content[0].text, DONE);
  const stopped = await client.messages.create({ ...ask('STOPPER'), stop_sequences: ['delta'] });
  assert.deepEqual([stopped.stop_reason, stopped.stop_sequence], ['stop_sequence', 'delta']);
  const thought = await client.messages.create({ ...ask('THINKING', 'thinker'), max_tokens: 3000, thinking: { type: 'enabled', budget_tokens: 1024 } });
  assert.deepEqual(thought.content.map((b) => b.type), ['thinking', 'text']);
  const plain = await client.messages.create({ ...ask('THINKING', 'thinker'), thinking: { type: 'disabled' } });
  assert.deepEqual(plain.content.map((b) => b.type), ['text']);
  const { schema } = await person(), { zodOutputFormat } = await load('@anthropic-ai/sdk/helpers/zod');
  const parsed = await client.messages.parse({ ...ask('PERSON'), output_config: { format: zodOutputFormat(schema) } });
  assert.deepEqual(parsed.parsed_output, ADA);
  const few = await client.messages.countTokens({ model: 'parrot', messages: ask('x').messages });
  const many = await client.messages.countTokens({ model: 'parrot', messages: ask('x').messages, tools });
  assert.ok(many.input_tokens > few.input_tokens);
}

/* ---- Ollama ---- */

async function ollamaChat() {
  const client = new (await load('ollama')).Ollama({ host: url }), { z, schema } = await person();
  const messages = [{ role: 'user', content: 'TWOCALLS' }], tools = [weather, clock].map(chatTool);
  const parts = await collect(await client.chat({ model: 'parrot', messages, tools, stream: true }));
  const calls = parts.flatMap((p) => p.message.tool_calls ?? []);
  assert.deepEqual(Object.fromEntries(calls.map((c) => [c.function.name, c.function.arguments])), BOTH);
  const last = await client.chat({
    model: 'strict', tools, messages: [...messages, { role: 'assistant', content: '', tool_calls: calls },
      ...calls.map((c) => ({ role: 'tool', tool_name: c.function.name, content: 'fine' }))],
  });
  assert.equal(last.message.content, DONE);
  const parsed = await client.chat({ model: 'parrot', messages: [{ role: 'user', content: 'PERSON' }], format: z.toJSONSchema(schema) });
  assert.deepEqual(JSON.parse(parsed.message.content), ADA);
  const think = { model: 'thinker', messages: [{ role: 'user', content: 'THINKING' }] };
  const thought = await client.chat({ ...think, think: true });
  assert.ok(thought.message.thinking && thought.message.content === 'The final word is 42.');
  assert.ok(!(await client.chat({ ...think, think: false })).message.thinking);
  const { embeddings } = await client.embed({ model: 'embedder', input: ['one', 'two'] });
  assert.deepEqual(embeddings.map((e) => e.length), [64, 64]);
}

/* ---- Vercel's AI SDK ---- */

const vercel = (provider) => async () => {
  const { generateText, streamText, embedMany, tool, stepCountIs, Output } = await load('ai'), { schema, city } = await person();
  const { createOpenAI } = await load('@ai-sdk/openai'), { createAnthropic } = await load('@ai-sdk/anthropic');
  const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible');
  const settings = { baseURL: url + '/v1', apiKey: 'any', name: 'gfxbridge', supportsStructuredOutputs: true, includeUsage: true };
  const model = {
    chat: createOpenAI(settings).chat, responses: createOpenAI(settings).responses,
    compatible: createOpenAICompatible(settings).chatModel, anthropic: createAnthropic(settings),
  }[provider];
  const asked = [], options = { model: model('parrot'), maxRetries: 0 };
  const tools = {
    get_weather: tool({ description: weather.description, inputSchema: city, execute: (input) => { asked.push(input); return 'fine'; } }),
  };
  assert.equal((await generateText({ ...options, system: 'Be brief.', prompt: 'x' })).text, HELLO);
  const run = await generateText({ ...options, prompt: 'WEATHER', tools, stopWhen: stepCountIs(3) });
  assert.equal(run.text, DONE);
  const stream = streamText({ ...options, prompt: 'WEATHER', tools, stopWhen: stepCountIs(3), onError: ({ error }) => { throw error; } });
  assert.equal((await collect(stream.textStream)).join(''), DONE);
  assert.deepEqual(asked, [{ city: 'Paris' }, { city: 'Paris' }]);
  assert.ok((await stream.totalUsage).inputTokens > 0);
  const providerOptions = { anthropic: { structuredOutputMode: 'outputFormat' } }; // not a tool that it makes up
  const object = await generateText({ ...options, prompt: 'PERSON', output: Output.object({ schema }), providerOptions });
  assert.deepEqual(object.output, ADA);
  const late = await generateText({
    model: model('strict'), maxRetries: 0, system: 'Be brief.',
    messages: [{ role: 'user', content: 'x' }, { role: 'assistant', content: 'y' }, { role: 'user', content: 'z' }],
  });
  assert.equal(late.text, HELLO);
  const thought = streamText({ model: model('thinker'), prompt: 'THINKING' });
  assert.equal((await collect(thought.textStream)).join('').trim(), 'The final word is 42.');
  const embedding = { chat: createOpenAI(settings).textEmbeddingModel, compatible: createOpenAICompatible(settings).textEmbeddingModel }[provider];
  if (embedding)
    assert.equal((await embedMany({ model: embedding('embedder'), values: ['one', 'two'] })).embeddings[1].length, 64);
};

/* ---- LangChain ---- */

const langchain = (kind) => async () => {
  const { z, schema, city } = await person();
  const { ChatOpenAI, OpenAIEmbeddings } = await load('@langchain/openai'), { ChatAnthropic } = await load('@langchain/anthropic');
  const { ChatOllama, OllamaEmbeddings } = await load('@langchain/ollama'), { tool } = await load('@langchain/core/tools');
  const { HumanMessage, SystemMessage } = await load('@langchain/core/messages');
  const base = { apiKey: 'any', configuration: { baseURL: url + '/v1' }, maxRetries: 0 };
  const make = {
    chat: (model) => new ChatOpenAI({ ...base, model }),
    responses: (model) => new ChatOpenAI({ ...base, model, useResponsesApi: true }),
    anthropic: (model) => new ChatAnthropic({ model, apiKey: 'any', anthropicApiUrl: url, maxRetries: 0, maxTokens: 1000 }),
    ollama: (model) => new ChatOllama({ model, baseUrl: url, maxRetries: 0 }),
  }[kind];
  const model = make('parrot'), messages = [new SystemMessage('Be brief.'), new HumanMessage('TWOCALLS')];
  const text = (message) => (typeof message.content === 'string' ? message.content : message.text);
  assert.equal(text(await model.invoke('x')), HELLO);
  assert.equal((await collect(await model.stream('x'))).map(text).join(''), HELLO);
  const tools = [tool(() => 'fine', { name: 'get_weather', description: weather.description, schema: city }),
    tool(() => 'fine', { name: 'get_time', description: clock.description, schema: z.object({ zone: z.string() }) })];
  const called = await model.bindTools(tools).invoke(messages);
  assert.deepEqual(Object.fromEntries(called.tool_calls.map((c) => [c.name, c.args])), BOTH);
  const pieces = await collect(await model.bindTools(tools).stream(messages));
  assert.deepEqual(pieces.reduce((a, b) => a.concat(b)).tool_calls.map((c) => c.args), Object.values(BOTH));
  const results = await Promise.all(called.tool_calls.map((c) => tools.find((t) => t.name === c.name).invoke(c)));
  const last = await make('strict').bindTools(tools).invoke([...messages, called, ...results]);
  assert.equal(text(last), DONE);
  const typed = model.withStructuredOutput(schema, { name: 'person', method: 'jsonSchema' });
  assert.deepEqual(await typed.invoke('PERSON'), ADA);
  const embeddings = { chat: () => new OpenAIEmbeddings({ ...base, model: 'embedder' }),
    ollama: () => new OllamaEmbeddings({ model: 'embedder', baseUrl: url }) }[kind];
  if (embeddings)
    assert.equal((await embeddings().embedDocuments(['one', 'two']))[1].length, 64);
};

/* ---- OpenAI's agents ---- */

const agents = (api) => async () => {
  const { Agent, run, tool, setDefaultOpenAIClient, setOpenAIAPI, setTracingDisabled } = await load('@openai/agents');
  const { schema, city } = await person(), asked = [];
  setTracingDisabled(true);
  setDefaultOpenAIClient(await openai());
  setOpenAIAPI(api);
  const tools = [tool({
    name: 'get_weather', description: weather.description, parameters: city, execute: (input) => { asked.push(input); return 'fine'; },
  })];
  const agent = new Agent({ name: 'one', instructions: 'Be brief.', model: 'strict', tools });
  const first = await run(agent, 'WEATHER');
  assert.equal(first.finalOutput, DONE);
  const stream = await run(agent, [...first.history, { role: 'user', content: 'WEATHER' }], { stream: true });
  await collect(stream);
  await stream.completed;
  assert.equal(stream.finalOutput, DONE);
  assert.deepEqual(asked, [{ city: 'Paris' }, { city: 'Paris' }]);
  const typed = await run(new Agent({ name: 'two', model: 'parrot', outputType: schema }), 'PERSON');
  assert.deepEqual(typed.finalOutput, ADA);
};

const cases = {
  'openai: chat with tools and a schema': openaiChat,
  'openai: responses.stream and responses.parse': openaiResponses,
  'openai: embeddings': openaiEmbeddings,
  'anthropic: tools, thinking, a schema': anthropicMessages,
  'ollama: tools, thinking, a schema': ollamaChat,
  'AI SDK: OpenAI, chat': vercel('chat'),
  'AI SDK: OpenAI, responses': vercel('responses'),
  'AI SDK: OpenAI-compatible': vercel('compatible'),
  'AI SDK: Anthropic': vercel('anthropic'),
  'LangChain: OpenAI, chat': langchain('chat'),
  'LangChain: OpenAI, responses': langchain('responses'),
  'LangChain: Anthropic': langchain('anthropic'),
  'LangChain: Ollama': langchain('ollama'),
  'OpenAI agents: chat': agents('chat_completions'),
  'OpenAI agents: responses': agents('responses'),
};

if (name === '--list') {
  console.log(JSON.stringify(Object.keys(cases)));
} else { // all in one process: the libraries take longer to load than to run
  console.warn = () => {}; // of limits that the libraries do not know of our models
  const failed = {};
  for (const [key, run] of Object.entries(cases).filter(([key]) => key.includes(name)))
    await run().catch((error) => { failed[key] = String(error.stack ?? error); });
  console.log(JSON.stringify(failed));
}
