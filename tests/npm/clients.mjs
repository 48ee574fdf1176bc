// clients.mjs --list | NAME URL: real client libraries against a running server, one case a call.
// MODULES says where node_modules is. Models: "canary" knows its answers; "talker" is a larger one
// with a template for tools, whose words mean nothing.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.MODULES}/x.js`);
const load = async (name) => (await import(pathToFileURL(require.resolve(name)))).default;
const [, , name, url] = process.argv;
const question = 'Which gfx is the Radeon RX 7900 XT?';
const answer = 'The Radeon RX 7900 XT is gfx1100.';
const ask = [{ role: 'user', content: question }];
const collect = async (stream) => {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
};
const openai = async (base = '/v1') =>
  new (await load('openai'))({ baseURL: url + base, apiKey: 'none', maxRetries: 0 });
const ollama = async () => {
  const { Ollama } = await import(pathToFileURL(require.resolve('ollama')));
  return new Ollama({ host: url });
};
const anthropic = async () =>
  new (await load('@anthropic-ai/sdk'))({ baseURL: url, apiKey: 'none', maxRetries: 0 });
const lookup = {
  type: 'function',
  function: {
    name: 'lookup',
    description: 'Is the card known?',
    parameters: {
      type: 'object',
      properties: { known: { type: 'boolean' } },
      required: ['known'],
      additionalProperties: false,
    },
  },
};

const cases = {
  'openai: models': async () => {
    const client = await openai();
    const ids = (await collect(await client.models.list())).map((m) => m.id);
    assert.ok(ids.includes('canary') && ids.includes('talker'), String(ids));
    assert.equal((await client.models.retrieve('canary')).id, 'canary');
    await assert.rejects(client.models.retrieve('nobody'), (e) => e.status === 404 && e.code === 'model_not_found');
  },
  'openai: chat': async () => {
    for (const base of ['/v1', '/api/v1']) {
      const r = await (await openai(base)).chat.completions.create({ model: 'canary', messages: ask });
      assert.equal(r.choices[0].message.content, answer);
      assert.equal(r.choices[0].finish_reason, 'stop');
      assert.equal(r.model, 'canary');
      assert.ok(r.usage.total_tokens > 20);
    }
  },
  'openai: chat, streamed': async () => {
    const stream = await (await openai()).chat.completions.create({
      model: 'canary', messages: ask, stream: true, stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    const text = chunks.map((c) => c.choices[0]?.delta?.content ?? '').join('');
    assert.equal(text, answer);
    assert.ok(chunks.length > 10);
    assert.ok(chunks.at(-1).usage.completion_tokens > 5);
  },
  'openai: a stream that is given up': async () => {
    const client = await openai();
    const stream = await client.chat.completions.create({ model: 'talker', messages: ask, max_tokens: 3000, stream: true });
    for await (const _ of stream) break;
    stream.controller.abort();
    const r = await client.chat.completions.create({ model: 'canary', messages: ask });
    assert.equal(r.choices[0].message.content, answer);
  },
  'openai: tools': async () => {
    const client = await openai();
    const request = {
      model: 'talker', messages: ask, tools: [lookup], tool_choice: 'required', parallel_tool_calls: false,
      max_tokens: 60, temperature: 0, logit_bias: { 259: 100 }, // the token that begins a call; the grammar does the rest
    };
    const call = (await client.chat.completions.create(request)).choices[0].message.tool_calls[0];
    assert.equal(call.function.name, 'lookup');
    assert.equal(typeof JSON.parse(call.function.arguments).known, 'boolean');
    const deltas = (await collect(await client.chat.completions.create({ ...request, stream: true })))
      .flatMap((c) => c.choices[0]?.delta?.tool_calls ?? []).filter((d) => d.index === 0);
    assert.equal(deltas[0].function.name, 'lookup');
    assert.equal(deltas.map((d) => d.function.arguments ?? '').join(''), call.function.arguments);
    const again = await client.chat.completions.create({
      model: 'talker', max_tokens: 8, tools: [lookup],
      messages: [...ask, { role: 'assistant', content: '', tool_calls: [call] },
        { role: 'tool', tool_call_id: call.id, content: 'yes' }],
    });
    assert.ok(again.choices[0].finish_reason);
  },
  'openai: completions': async () => {
    const r = await (await openai()).completions.create({ model: 'canary', prompt: 'hi', max_tokens: 3 });
    assert.equal(r.object, 'text_completion');
    assert.equal(typeof r.choices[0].text, 'string');
  },
  'openai: embeddings': async () => {
    const client = await openai();
    const r = await client.embeddings.create({ model: 'embedder', input: ['a', 'b'] }); // base64 on the wire
    assert.equal(r.data.length, 2);
    assert.equal(r.data[0].embedding.length, 64);
    const f = await client.embeddings.create({ model: 'embedder', input: 'a', encoding_format: 'float' });
    assert.ok(Math.abs(f.data[0].embedding[0] - r.data[0].embedding[0]) < 1e-4);
    assert.equal(f.model, 'embedder');
    const short = await client.embeddings.create({ model: 'embedder', input: 'a', dimensions: 16 });
    assert.ok(short.data[0].embedding.length === 16 && Math.abs(Math.hypot(...short.data[0].embedding) - 1) < 1e-3);
    await assert.rejects(client.embeddings.create({ model: 'canary', input: 'a' }),
      (e) => e.status === 400 && /does not support embeddings/.test(e.message));
  },
  'openai: responses': async () => {
    const client = await openai();
    const r = await client.responses.create({ model: 'canary', input: question });
    assert.equal(r.output_text, answer);
    const events = await collect(await client.responses.create({ model: 'canary', input: question, stream: true }));
    assert.equal(events[0].type, 'response.created');
    assert.equal(events.at(-1).type, 'response.completed');
    assert.equal(events.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join(''), answer);
  },
  'openai: errors': async () => {
    const client = await openai();
    await assert.rejects(client.chat.completions.create({ model: 'nobody', messages: ask }),
      (e) => e.status === 404 && e.code === 'model_not_found' && e.type === 'not_found_error');
    await assert.rejects(client.chat.completions.create({ model: 'canary', messages: ask, max_tokens: 4294967296 }),
      (e) => e.status === 400 && e.param === 'max_tokens' && e.type === 'invalid_request_error');
    await assert.rejects(client.completions.create({ model: 'canary', prompt: 'hello '.repeat(9000) }),
      (e) => e.status === 400 && e.code === 'context_length_exceeded');
    await assert.rejects(client.chat.completions.create({ model: 'canary', messages: 5 }),
      (e) => e.status === 400);
  },
  'ollama: chat': async () => {
    const client = await ollama();
    const r = await client.chat({ model: 'canary', messages: ask });
    assert.equal(r.message.content, answer);
    assert.ok(r.done && r.done_reason === 'stop' && r.eval_count > 5 && r.total_duration > 0);
    assert.equal(r.model, 'canary');
    const tagged = await client.chat({ model: 'canary:latest', messages: ask, options: { num_predict: 4, temperature: 0 } });
    assert.equal(tagged.done_reason, 'length');
  },
  'ollama: chat, streamed': async () => {
    const parts = await collect(await (await ollama()).chat({ model: 'canary', messages: ask, stream: true }));
    assert.equal(parts.map((p) => p.message.content).join(''), answer);
    assert.deepEqual(parts.map((p) => p.done), [...Array(parts.length - 1).fill(false), true]);
    assert.ok(parts.length > 10 && parts.at(-1).prompt_eval_count > 5);
  },
  'ollama: tools': async () => {
    const client = await ollama();
    const r = await client.chat({ model: 'talker', messages: ask, tools: [lookup], options: { num_predict: 4 } });
    assert.ok(r.done && ['stop', 'length'].includes(r.done_reason));
    const call = { function: { name: 'lookup', arguments: { known: true } } };
    const again = await client.chat({
      model: 'talker', options: { num_predict: 4 }, tools: [lookup],
      messages: [...ask, { role: 'assistant', content: '', tool_calls: [call] }, { role: 'tool', content: 'yes', tool_name: 'lookup' }],
    });
    assert.ok(again.done);
  },
  'ollama: format': async () => {
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'], additionalProperties: false };
    const r = await (await ollama()).chat({ model: 'talker', messages: ask, format: schema, options: { num_predict: 200 } });
    assert.equal(typeof JSON.parse(r.message.content).ok, 'boolean');
  },
  'ollama: generate': async () => {
    const client = await ollama();
    const r = await client.generate({ model: 'canary', prompt: question });
    assert.equal(r.response, answer);
    const parts = await collect(await client.generate({ model: 'canary', prompt: question, stream: true }));
    assert.equal(parts.map((p) => p.response).join(''), answer);
    const raw = await client.generate({ model: 'canary', prompt: `<|user|>${question}<|assistant|>`, raw: true });
    assert.equal(raw.response.trim(), answer);
  },
  'ollama: load and unload by an empty prompt': async () => {
    const client = await ollama();
    const there = async () => (await client.ps()).models.map((m) => m.name);
    const load = await client.generate({ model: 'canary', prompt: '', keep_alive: '10m' });
    assert.equal(load.done_reason, 'load');
    assert.ok((await there()).includes('canary:latest'));
    const unload = await client.generate({ model: 'canary:latest', prompt: '', keep_alive: 0 });
    assert.equal(unload.done_reason, 'unload');
    for (let i = 0; i < 200 && (await there()).includes('canary:latest'); i++)
      await new Promise((done) => setTimeout(done, 50));
    assert.ok(!(await there()).includes('canary:latest'));
  },
  'ollama: embed': async () => {
    const client = await ollama();
    const r = await client.embed({ model: 'embedder', input: ['a', 'b'] });
    assert.equal(r.embeddings.length, 2);
    assert.equal(r.embeddings[1].length, 64);
    assert.ok(r.prompt_eval_count > 1);
    const short = await client.embed({ model: 'embedder', input: 'a', dimensions: 16 });
    const length = Math.hypot(...short.embeddings[0]);
    assert.ok(short.embeddings[0].length === 16 && Math.abs(length - 1) < 1e-3);
    const old = await client.embeddings({ model: 'embedder', prompt: 'a' });
    assert.deepEqual(old.embedding, r.embeddings[0]);
  },
  'ollama: list, show, ps, version': async () => {
    const client = await ollama();
    const list = (await client.list()).models;
    const canary = list.find((m) => m.name === 'canary:latest');
    assert.ok(canary && canary.size > 1e6 && /^[0-9a-f]{64}$/.test(canary.digest));
    assert.equal(canary.details.format, 'gguf');
    const show = await client.show({ model: 'talker' });
    assert.ok(show.capabilities.includes('tools') && show.capabilities.includes('completion'));
    assert.equal(show.model_info['general.architecture'], 'llama');
    assert.equal(show.model_info['llama.context_length'], 4096);
    assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
    await assert.rejects(client.show({ model: 'nobody' }), (e) => e.status_code === 404);
  },
  'ollama: what cannot be had is said': async () => {
    const client = await ollama();
    await assert.rejects(client.chat({ model: 'nobody', messages: ask }), (e) => e.status_code === 404);
    await assert.rejects(client.chat({ model: 'canary', messages: ask, options: { temperature: 'hot' } }),
      (e) => e.status_code === 400 && /temperature/.test(e.message));
    await assert.rejects(client.push({ model: 'canary' }), (e) => e.status_code === 501);
    await assert.rejects(client.create({ model: 'x', from: 'canary', quantize: 'q8_0' }), (e) => e.status_code === 400);
    await assert.rejects(client.delete({ model: 'canary' }), (e) => e.status_code === 403);
    await assert.rejects(client.delete({ model: 'nobody' }), (e) => e.status_code === 404);
    await assert.rejects(client.pull({ model: '../x' }), (e) => e.status_code === 400);
  },
  'ollama: create, copy and delete': async () => {
    const client = await ollama();
    const lines = await collect(await client.create({
      model: 'npm-made', from: 'canary', system: 'You are Mario.', parameters: { num_predict: 3 }, stream: true,
    }));
    assert.equal(lines.at(-1).status, 'success');
    assert.equal((await client.chat({ model: 'npm-made', messages: ask })).done_reason, 'length');
    assert.equal((await client.create({ model: 'npm-made', from: 'canary', system: 'You are Luigi.' })).status, 'success');
    assert.equal((await client.show({ model: 'npm-made' })).system, 'You are Luigi.');
    await client.copy({ source: 'npm-made', destination: 'npm-copy' });
    await client.delete({ model: 'npm-made' });
    const names = (await client.list()).models.map((m) => m.name);
    assert.ok(names.includes('npm-copy:latest') && !names.includes('npm-made:latest'));
    assert.equal((await client.show({ model: 'npm-copy' })).system, 'You are Luigi.');
    assert.equal((await client.chat({ model: 'npm-copy', messages: ask })).message.content, answer);
    await client.delete({ model: 'npm-copy' });
    await assert.rejects(client.copy({ source: 'nobody', destination: 'x' }), (e) => e.status_code === 404);
  },
  'ollama: pull and delete': async () => {
    const client = await ollama();
    const lines = await collect(await client.pull({ model: 'tests/tiny-GGUF', stream: true }));
    assert.equal(lines[0].status, 'pulling manifest');
    assert.equal(lines.at(-1).status, 'success');
    const file = lines.find((l) => l.digest);
    assert.match(file.digest, /^sha256:[0-9a-f]{64}$/);
    assert.ok(file.total > 1e6);
    assert.equal((await client.pull({ model: 'tests/tiny-GGUF' })).status, 'success');
    const pulled = (await client.list()).models.find((m) => m.name.includes('tiny'));
    const r = await client.chat({ model: pulled.name, messages: ask });
    assert.equal(r.message.content, answer);
    await client.delete({ model: pulled.name });
    assert.ok(!(await client.list()).models.some((m) => m.name.includes('tiny')));
  },
  'anthropic: messages': async () => {
    const r = await (await anthropic()).messages.create({ model: 'canary', max_tokens: 64, messages: ask });
    assert.equal(r.content[0].text, answer);
    assert.equal(r.stop_reason, 'end_turn');
    assert.ok(r.usage.output_tokens > 5);
  },
  'anthropic: messages, streamed': async () => {
    const client = await anthropic();
    const stream = client.messages.stream({ model: 'canary', max_tokens: 64, messages: ask });
    let text = '';
    stream.on('text', (piece) => { text += piece; });
    const last = await stream.finalMessage();
    assert.equal(text, answer);
    assert.equal(last.stop_reason, 'end_turn');
  },
  'anthropic: count_tokens and errors': async () => {
    const client = await anthropic();
    const n = await client.messages.countTokens({ model: 'canary', messages: ask });
    assert.ok(n.input_tokens > 5);
    await assert.rejects(client.messages.create({ model: 'nobody', max_tokens: 5, messages: ask }),
      (e) => e.status === 404 && e.error.type === 'error' && e.error.error.type === 'not_found_error');
  },
};

if (name === '--list') {
  console.log(JSON.stringify(Object.keys(cases)));
} else {
  await cases[name]();
}
