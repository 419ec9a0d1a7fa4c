/**
 * What a far side says about a command that it was given, over HTTP or NATS alike: zero or more reports of progress, then one answer.
 * Read at our trust boundary: whatever is wrong is named by its place, and never repeated.
 */
import type { JsonObject } from './envelope.js';
import { CallboardError } from './errors.js';
import type { InputRequest } from './outcome.js';

export interface FarSideProgress {
  stage?: string;
  /** 0 to 100. */
  percent?: number;
  message?: string;
}

/** How far a command is that was at `before` percent. MCP wants progress to grow, so what does not, or says no number, moves it by a little. */
export function grownPercent(before: number, { percent }: FarSideProgress): number {
  const grown = percent !== undefined && percent > before ? percent : before + SMALL_STEP;
  return Math.min(100, Number(grown.toFixed(2)));
}

/** What is told to a person. */
export function progressText({ stage, message }: FarSideProgress): string | undefined {
  return [stage, message].filter((part) => part !== undefined && part !== '').join(': ') || undefined;
}

export type FarSideAnswer = { status: 'ok'; result?: unknown } | { status: 'error'; error: FarSideError };

export interface FarSideError {
  code?: string;
  message?: string;
  retryable?: boolean;
  /** Before that another attempt has no chance. */
  retry_after_ms?: number;
  /** No other attempt is made at this command, and it is for the caller to come again where the error is retryable. */
  final?: boolean;
}

/** A question instead of an answer: the far side is called again, with what was answered by key. */
export interface FarSideQuestion {
  status: 'input_required';
  requests: Record<string, InputRequest>;
}

const SMALL_STEP = 0.01;
const MAX_TEXT_CHARS = 4_000;
const MAX_RETRY_AFTER_MS = 7 * 24 * 3_600_000;
/** Questions at once, and the name of each. */
const MAX_QUESTIONS = 16;
const QUESTION_KEY = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_QUESTION_CHARS = 64_000;
const ERROR_CODE = /^[a-z][a-z0-9_]{0,63}$/;

/** @throws CallboardError `invalid_request` */
export function readFarSideProgress(value: unknown): FarSideProgress {
  const { stage, percent, message } = object(value, 'the report');
  return {
    ...(stage !== undefined && { stage: text(stage, 'stage') }),
    ...(percent !== undefined && { percent: percentage(percent) }),
    ...(message !== undefined && { message: text(message, 'message') }),
  };
}

/** @throws CallboardError `invalid_request` */
export function readFarSideAnswer(value: unknown): FarSideAnswer {
  const { status, result, error } = object(value, 'the answer');
  if (status === 'ok') return { status, ...(result !== undefined && { result }) };
  if (status !== 'error') throw wrong('status must be "ok" or "error"');
  const { code, message, retryable, retry_after_ms: retryAfterMs, final } = object(error ?? {}, 'error');
  if (code !== undefined && (typeof code !== 'string' || !ERROR_CODE.test(code))) {
    throw wrong('error.code must be a lower-case name such as disk_full, of at most 64 characters');
  }
  if (retryable !== undefined && typeof retryable !== 'boolean') throw wrong('error.retryable must be true or false');
  if (final !== undefined && typeof final !== 'boolean') throw wrong('error.final must be true or false');
  return {
    status,
    error: {
      ...(code !== undefined && { code }),
      ...(message !== undefined && { message: text(message, 'error.message') }),
      ...(retryable !== undefined && { retryable }),
      ...(retryAfterMs !== undefined && { retry_after_ms: milliseconds(retryAfterMs) }),
      ...(final !== undefined && { final }),
    },
  };
}

/**
 * The questions of a far side that asks before it answers.
 * @throws CallboardError `invalid_request`
 */
export function readFarSideQuestion(value: unknown): FarSideQuestion {
  const requests = object(object(value, 'the question')['requests'], 'requests');
  const keys = Object.keys(requests);
  if (keys.length === 0 || keys.length > MAX_QUESTIONS)
    throw wrong(`requests must hold 1 to ${MAX_QUESTIONS} questions`);
  if (!keys.every((key) => QUESTION_KEY.test(key))) {
    throw wrong('the keys of requests must be names of at most 64 letters, digits, _ and -');
  }
  const read = keys.map((key): [string, InputRequest] => {
    const { method, params } = object(requests[key], 'a question');
    if (typeof method !== 'string') throw wrong('method of a question must be text');
    return [key, { method, ...(params !== undefined && { params: object(params, 'params of a question') }) }];
  });
  if (JSON.stringify(requests).length > MAX_QUESTION_CHARS) throw wrong('the questions are too long');
  return { status: 'input_required', requests: Object.fromEntries(read) };
}

function object(value: unknown, what: string): JsonObject {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as JsonObject;
  throw wrong(`${what} must be a JSON object`);
}

function text(value: unknown, what: string): string {
  if (typeof value === 'string' && value.length <= MAX_TEXT_CHARS) return value;
  throw wrong(`${what} must be text of at most ${MAX_TEXT_CHARS} characters`);
}

/** A number, also as text: templates of many tools know nothing else. */
function percentage(value: unknown): number {
  const number = typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && number >= 0 && number <= 100) return number;
  throw wrong('percent must be a number from 0 to 100');
}

function milliseconds(value: unknown): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_RETRY_AFTER_MS)
    return value as number;
  throw wrong(`error.retry_after_ms must be a whole number from 0 to ${MAX_RETRY_AFTER_MS}`);
}

function wrong(what: string): CallboardError {
  return new CallboardError('invalid_request', what);
}
