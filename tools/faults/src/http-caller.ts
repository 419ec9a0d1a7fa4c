/**
 * A client of the 2026-07-28 revision in plain node:http: every byte of a request is in the test's hand, and a connection that dies
 * is seen as such. One keep-alive connection, so one client is one connection, as with a real host, unless it calls several at once.
 */
import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { answerOfError, answerOfResult, type Answer, type ToolResult } from './answer.js';

const REVISION = '2026-07-28';

export interface JsonRpcMessage {
  id?: number | string | null;
  method?: string;
  params?: { [name: string]: unknown };
  result?: ToolResult & { [name: string]: unknown };
  error?: { code: number; message: string; data?: { [name: string]: unknown } };
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** The one JSON body, or all events of the stream. */
  messages: JsonRpcMessage[];
}

export interface ToolCall {
  name: string;
  arguments: { [name: string]: unknown };
  /** Goes into `_meta`. */
  meta?: { [name: string]: unknown };
  headers?: { [name: string]: string };
}

export interface Caller {
  readonly url: string;
  call(call: ToolCall): Promise<Answer>;
  close(): Promise<void>;
}

export class HttpCaller implements Caller {
  readonly #agent: Agent;
  #nextId = 0;

  constructor(
    readonly url: string,
    private readonly token: string | undefined,
    private readonly timeoutMs: number,
    connections = 1,
  ) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  async call(call: ToolCall): Promise<Answer> {
    let answer: HttpAnswer;
    try {
      answer = await this.callTool(call);
    } catch (error) {
      return { kind: 'lost', reason: (error as NodeJS.ErrnoException).code ?? (error as Error).message };
    }
    const response = answer.messages.find((message) => message.result !== undefined || message.error !== undefined);
    if (response?.result) return answerOfResult(response.result);
    if (response?.error) return answerOfError({ message: response.error.message, ...response.error.data });
    if (answer.status === 429 || answer.status >= 500) {
      const seconds = Number(answer.headers['retry-after']);
      return { kind: 'later', code: `http_${answer.status}`, ...(seconds > 0 && { retryAfterMs: seconds * 1000 }) };
    }
    if (answer.status === 200) return { kind: 'lost', reason: 'the stream ended without a response' };
    return { kind: 'refused', code: `http_${answer.status}`, message: '' };
  }

  /** `tools/call` as it is on the wire. @throws when the connection ends before the response does. */
  callTool(call: ToolCall): Promise<HttpAnswer> {
    const params = { name: call.name, arguments: call.arguments };
    return this.request('tools/call', params, call.meta, { 'mcp-name': call.name, ...call.headers });
  }

  request(
    method: string,
    params: { [name: string]: unknown },
    meta: { [name: string]: unknown } = {},
    headers: { [name: string]: string } = {},
  ): Promise<HttpAnswer> {
    const body = JSON.stringify({
      jsonrpc: '2.0',
      id: ++this.#nextId,
      method,
      params: {
        ...params,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': REVISION,
          'io.modelcontextprotocol/clientInfo': { name: 'callboard-faults', version: '1.0.0' },
          'io.modelcontextprotocol/clientCapabilities': {},
          ...meta,
        },
      },
    });
    return this.#post(body, {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'content-length': String(Buffer.byteLength(body)),
      'mcp-protocol-version': REVISION,
      'mcp-method': method,
      ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
      ...headers,
    });
  }

  #post(body: string, headers: { [name: string]: string }): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(this.timeoutMs);
      const outgoing = request(this.url, { method: 'POST', agent: this.#agent, headers, signal }, (incoming) => {
        let text = '';
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => (text += chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          try {
            const messages = parseMessages(text, incoming.headers['content-type'] ?? '');
            resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, messages });
          } catch (error) {
            reject(error as Error);
          }
        });
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }

  close(): Promise<void> {
    this.#agent.destroy();
    return Promise.resolve();
  }
}

function parseMessages(text: string, contentType: string): JsonRpcMessage[] {
  if (contentType.startsWith('text/event-stream')) {
    return text
      .split(/\r?\n/)
      .filter((line) => line.startsWith('data:') && line.length > 'data:'.length + 1)
      .map((line) => JSON.parse(line.slice('data:'.length)) as JsonRpcMessage);
  }
  return contentType.startsWith('application/json') ? [JSON.parse(text) as JsonRpcMessage] : [];
}
