// Vercel's AI SDK with its provider for OpenAI-compatible services, against the real gateway.
//
// Run as `vercel_ai.mjs PROGRAM`, with the path of a built `outrigger`; `_world.mjs` has the rules of all scripts.

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, jsonSchema, streamText, tool } from "ai";
import { LAST_WORD, cutByTheEnd, eachFailure, main, raised, until } from "./_world.mjs";

const options = (world, model = "chat", apiKey = "none") => ({
  model: createOpenAICompatible({ name: "outrigger", baseURL: `${world.root}/v1`, apiKey })(model),
  prompt: "ahoy",
  maxRetries: 0,
});
const count = tool({ inputSchema: jsonSchema({ type: "object", properties: { what: { type: "string" } } }) });

/** Reads a stream to its end: its text, its finish reason, and the error that it told. */
async function read(world, more = {}) {
  const seen = { text: "", reason: null, error: null, calls: [] };
  const stream = streamText({ ...options(world), onError: () => {}, ...more });
  for await (const part of stream.fullStream) {
    if (part.type === "text-delta") seen.text += part.text;
    if (part.type === "finish") seen.reason = part.finishReason;
    if (part.type === "error") seen.error = part.error;
    if (part.type === "tool-call") seen.calls.push(part);
  }
  return seen;
}

async function an_answer_is_whole_plain_and_streamed(world) {
  const plain = await generateText(options(world));
  assert.ok(plain.text.endsWith(LAST_WORD) && plain.finishReason === "stop" && plain.usage.totalTokens > 0);
  const streamed = await read(world);
  assert.deepEqual([streamed.text, streamed.reason, streamed.error], [plain.text, "stop", null]);
}

async function tools_are_called_plain_and_streamed(world) {
  const more = { tools: { count }, toolChoice: "required" };
  const plain = await generateText({ ...options(world), ...more });
  assert.equal(plain.toolCalls[0].toolName, "count");
  const streamed = await read(world, more);
  assert.deepEqual(streamed.calls[0].input, plain.toolCalls[0].input);
}

async function a_region_that_dies_in_between_is_never_noticed(world) {
  const headers = { "x-outrigger-region": "us-east" };
  for (let turn = 0; turn < 12; turn += 1) {
    if (turn === 4) await world.chaos("reset", { regions: ["us-east"] });
    assert.ok((await generateText({ ...options(world), headers })).text.endsWith(LAST_WORD));
    assert.ok((await read(world, { headers })).text.endsWith(LAST_WORD));
  }
}

/** Whether it is the error of a call that was answered so. */
function isOf(error, status, code) {
  assert.ok(APICallError.isInstance(error), `${error}`);
  assert.deepEqual([error.statusCode, JSON.parse(error.responseBody).error.code], [status, code]);
  // It goes by the status alone.
  assert.equal(error.isRetryable, status === 429 || status >= 500);
}

const each_refusal_raises_its_own_error = eachFailure(async function each_refusal_raises_its_own_error(world, asked, code, status) {
  const call = { ...options(world, asked.model, asked.key), prompt: asked.prompt, headers: asked.headers };
  isOf(await raised(() => generateText(call)), status, code);
  isOf((await read(world, call)).error, status, code);
});

async function a_providers_refusal_is_raised_as_it_is(world) {
  await world.chaos("context_length");
  isOf(await raised(() => generateText(options(world))), 400, "context_length_exceeded");
  isOf((await read(world)).error, 400, "context_length_exceeded");
}

async function a_stream_that_is_cut_everywhere_is_never_whole(world) {
  await world.chaos("cut", { after: 5 });
  let seen;
  try {
    seen = await read(world);
  } catch (error) {
    return assert.ok(error);
  }
  assert.ok(seen.error, `taken for an answer: ${JSON.stringify(seen)}`);
  assert.notEqual(seen.reason, "stop");
}

async function a_stream_that_the_gateways_end_cuts_is_never_whole(world) {
  // It may throw, or say so in the stream.
  const seen = await cutByTheEnd(world, () => read(world).catch((error) => ({ error })));
  assert.ok(seen.error && seen.reason !== "stop", `taken for an answer: ${JSON.stringify(seen)}`);
}

async function what_its_caller_cancels_is_cancelled_upstream(world) {
  await world.chaos("slow_tokens");
  const leave = new AbortController();
  for await (const part of streamText({ ...options(world), abortSignal: leave.signal, onError: () => {} }).fullStream) {
    if (part.type === "text-delta") leave.abort();
  }
  await until("nothing in flight after a stream was left", async () => (await world.inFlight()) === 0);
  await world.heal();
  await world.chaos("silent");
  const abort = new AbortController();
  const waiting = raised(() => generateText({ ...options(world), abortSignal: abort.signal }));
  await until("a call in flight", async () => (await world.inFlight()) > 0);
  abort.abort();
  assert.equal((await waiting).name, "AbortError");
  await until("nothing in flight after an abort", async () => (await world.inFlight()) === 0);
}

await main([
  an_answer_is_whole_plain_and_streamed,
  tools_are_called_plain_and_streamed,
  a_region_that_dies_in_between_is_never_noticed,
  each_refusal_raises_its_own_error,
  a_providers_refusal_is_raised_as_it_is,
  a_stream_that_is_cut_everywhere_is_never_whole,
  a_stream_that_the_gateways_end_cuts_is_never_whole,
  what_its_caller_cancels_is_cancelled_upstream,
]);
