// OpenAI's Node SDK on chats, against the real gateway: only `baseURL` differs from what its users write.
//
// Run as `openai_node.mjs PROGRAM`, with the path of a built `outrigger`; `_world.mjs` has the rules of all scripts.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { AHOY, LAST_WORD, cutByTheEnd, eachFailure, main, raised, until } from "./_world.mjs";

const TOOLS = [
  { type: "function", function: { name: "count", parameters: { type: "object", properties: { what: { type: "string" } } } } },
];
// What each status is raised as; what has no class of its own is the base of them all.
const RAISED = {
  400: OpenAI.BadRequestError,
  401: OpenAI.AuthenticationError,
  403: OpenAI.PermissionDeniedError,
  404: OpenAI.NotFoundError,
  413: OpenAI.APIError,
  429: OpenAI.RateLimitError,
  431: OpenAI.APIError,
  502: OpenAI.InternalServerError,
  503: OpenAI.InternalServerError,
  504: OpenAI.InternalServerError,
};

const connect = (world, options = {}) => new OpenAI({ baseURL: `${world.root}/v1`, apiKey: "none", maxRetries: 0, ...options });
const ask = (client, options = {}, more = {}) => client.chat.completions.create({ model: "chat", messages: AHOY, ...options }, more);

async function read(stream) {
  let [text, reason] = ["", null];
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    reason = chunk.choices[0]?.finish_reason ?? reason;
  }
  assert.equal(reason, "stop");
  return text;
}

async function an_answer_is_whole_plain_and_streamed(world) {
  const client = connect(world);
  const plain = await ask(client);
  assert.ok(plain.choices[0].message.content.endsWith(LAST_WORD) && plain.usage.total_tokens > 0);
  assert.equal(await read(await ask(client, { stream: true })), plain.choices[0].message.content);
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names, ["chat"]);
}

async function tools_are_called_plain_and_streamed(world) {
  const client = connect(world);
  const options = { tools: TOOLS, tool_choice: "required" };
  const plain = await ask(client, options);
  const call = plain.choices[0].message.tool_calls[0];
  assert.equal(plain.choices[0].finish_reason, "tool_calls");
  const streamed = await client.chat.completions.stream({ model: "chat", messages: AHOY, ...options }).finalChatCompletion();
  const again = streamed.choices[0].message.tool_calls[0];
  assert.deepEqual([again.function.name, again.function.arguments], [call.function.name, call.function.arguments]);
}

async function a_region_that_dies_in_between_is_never_noticed(world) {
  const client = connect(world);
  const headers = { "x-outrigger-region": "us-east" };
  for (let turn = 0; turn < 16; turn += 1) {
    if (turn === 4) await world.chaos("reset", { regions: ["us-east"] });
    const plain = await ask(client, {}, { headers });
    assert.ok(plain.choices[0].message.content.endsWith(LAST_WORD));
    assert.ok((await read(await ask(client, { stream: true }, { headers }))).endsWith(LAST_WORD));
  }
}

const each_refusal_raises_its_own_error = eachFailure(async function each_refusal_raises_its_own_error(world, asked, code, status) {
  const client = connect(world, { apiKey: asked.key });
  const messages = [{ role: "user", content: asked.prompt }];
  for (const stream of [false, true]) {
    const error = await raised(() => ask(client, { model: asked.model, messages, stream }, { headers: asked.headers }));
    assert.equal(error.constructor, RAISED[status], `${error}`);
    assert.deepEqual([error.status, error.code], [status, code]);
  }
});

async function what_the_gateway_could_not_save_is_not_tried_again(world) {
  const client = connect(world, { maxRetries: 2 });
  for (const stream of [false, true]) {
    await world.chaos("context_length");
    const fault = await raised(() => ask(client, { stream }));
    assert.ok(fault instanceof OpenAI.BadRequestError && fault.code === "context_length_exceeded", `${fault}`);
    await world.heal();
    await world.chaos("status", { status: 500 });
    const error = await raised(() => ask(client, { stream }));
    assert.ok(error instanceof OpenAI.InternalServerError && error.requestID, `${error}`);
    assert.equal(error.headers.get("x-should-retry"), "false");
    await world.heal();
  }
  await world.chaos("rate_limit", { retry_after: 120 });
  const limited = await raised(() => ask(client));
  assert.ok(limited instanceof OpenAI.RateLimitError && limited.headers.get("retry-after") === "60", `${limited}`);
}

async function a_stream_that_is_cut_everywhere_raises(world) {
  await world.chaos("cut", { after: 5 });
  let chunks = 0;
  const error = await raised(async () => {
    for await (const chunk of await ask(connect(world), { stream: true })) chunks += chunk.choices.length;
  });
  assert.ok(chunks > 0 && error instanceof OpenAI.APIError, `${chunks} ${error}`);
}

async function a_stream_that_the_gateways_end_cuts_raises(world) {
  const error = await cutByTheEnd(world, () => raised(async () => read(await ask(connect(world), { stream: true }))));
  assert.ok(error instanceof OpenAI.APIError && error.code === "draining", `${error}`);
}

async function what_its_caller_cancels_is_cancelled_upstream(world) {
  await world.chaos("slow_tokens");
  const client = connect(world);
  const stream = await ask(client, { stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.choices);
    break; // the SDK aborts the request of a stream that is left
  }
  await until("nothing in flight after a stream was left", async () => (await world.inFlight()) === 0);
  await world.heal();
  await world.chaos("silent");
  const abort = new AbortController();
  const waiting = raised(() => ask(client, {}, { signal: abort.signal }));
  await until("a plain call in flight", async () => (await world.inFlight()) > 0);
  abort.abort();
  assert.ok((await waiting) instanceof OpenAI.APIUserAbortError);
  await until("nothing in flight after an abort", async () => (await world.inFlight()) === 0);
}

await main([
  an_answer_is_whole_plain_and_streamed,
  tools_are_called_plain_and_streamed,
  a_region_that_dies_in_between_is_never_noticed,
  each_refusal_raises_its_own_error,
  what_the_gateway_could_not_save_is_not_tried_again,
  a_stream_that_is_cut_everywhere_raises,
  a_stream_that_the_gateways_end_cuts_raises,
  what_its_caller_cancels_is_cancelled_upstream,
]);
