/**
 * One keep-alive connection that calls one tool of an MCP server, one call after the other, and checks every answer. The server speaks
 * 2026-07-28, or an earlier revision without sessions.
 *
 * Plain sockets, and only as much HTTP as the two servers under test speak (a body with a length, or in chunks), so that the load
 * costs little and the same for both. Anything unexpected is an error and never a guess.
 */
import { connect, type Socket } from 'node:net';

const REVISION = '2026-07-28';
const TASKS = 'io.modelcontextprotocol/tasks';
const CRLF = '\r\n';

export interface CallTarget {
  url: string;
  token?: string;
  tool: string;
  /** The caller knows tasks, and the tool makes one of every call. */
  asTask?: boolean;
  /** Which revision the server speaks; the newest where nothing is said. */
  revision?: string;
  /** Instead of a text that comes back: arguments, and a regular expression for the text of the right answer. */
  query?: { arguments: object; answer: string };
}

export class McpConnection {
  readonly #url: URL;
  readonly #head: string;
  readonly #tail: string;
  readonly #nameOfTool: string;
  readonly #asTask: boolean;
  readonly #query: { arguments: string; answer: RegExp } | undefined;
  #socket!: Socket;
  #received = '';
  #waiting: { resolve(body: string): void; reject(error: Error): void } | undefined;

  constructor(target: CallTarget) {
    this.#url = new URL(target.url);
    this.#nameOfTool = JSON.stringify(target.tool);
    this.#asTask = target.asTask ?? false;
    const { query, revision = REVISION } = target;
    this.#query = query && { arguments: JSON.stringify(query.arguments), answer: new RegExp(query.answer) };
    this.#head = [
      `POST ${this.#url.pathname} HTTP/1.1`,
      `Host: ${this.#url.host}`,
      'Content-Type: application/json',
      'Accept: application/json, text/event-stream',
      `MCP-Protocol-Version: ${revision}`,
      'Mcp-Method: tools/call',
      `Mcp-Name: ${target.tool}`,
      ...(target.token === undefined ? [] : [`Authorization: Bearer ${target.token}`]),
      'Content-Length: ',
    ].join(CRLF);
    const meta = {
      'io.modelcontextprotocol/protocolVersion': revision,
      'io.modelcontextprotocol/clientInfo': { name: 'callboard-bench', version: '1.0.0' },
      'io.modelcontextprotocol/clientCapabilities': this.#asTask ? { extensions: { [TASKS]: {} } } : {},
    };
    this.#tail = `,"_meta":${JSON.stringify(meta)}}}`;
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket = connect(Number(this.#url.port), this.#url.hostname, resolve).once('error', reject);
    });
    this.#socket.setNoDelay(true).setEncoding('latin1');
    this.#socket.on('data', (chunk) => this.#receive(chunk as unknown as string));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Calls, with a text of its own or with the query. @throws Error unless it is the right answer, or a new task, to this very call. */
  async call(id: number): Promise<void> {
    const text = `call ${id}`;
    const body =
      `{"jsonrpc":"2.0","id":${id},"method":"tools/call",` +
      `"params":{"name":${this.#nameOfTool},"arguments":${this.#query?.arguments ?? `{"text":"${text}"}`}${this.#tail}`;
    const answer = new Promise<string>((resolve, reject) => (this.#waiting = { resolve, reject }));
    this.#socket.write(`${this.#head}${body.length}${CRLF}${CRLF}${body}`, 'latin1');
    if (this.#asTask) checkTask(await answer, id);
    else check(await answer, id, this.#query?.answer ?? text);
  }

  #receive(chunk: string): void {
    this.#received += chunk;
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = this.#received.slice(0, headEnd);
    const rest = this.#received.slice(headEnd + 4);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length !== undefined) {
      if (rest.length < Number(length)) return;
      this.#answer(head, rest.slice(0, Number(length)), rest.length === Number(length));
    } else if (rest.endsWith('0\r\n\r\n')) {
      this.#answer(head, joinChunks(rest), true);
    }
  }

  #answer(head: string, body: string, complete: boolean): void {
    this.#received = '';
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!complete) waiting?.reject(new Error('more bytes than one answer'));
    else if (!head.startsWith('HTTP/1.1 200 '))
      waiting?.reject(new Error(`${head.split(CRLF)[0]}: ${body.slice(0, 300)}`));
    else waiting?.resolve(/\r\ncontent-type: *text\/event-stream/i.test(head) ? lastEvent(body) : body);
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}

function joinChunks(text: string): string {
  let body = '';
  for (let at = 0; ;) {
    const lineEnd = text.indexOf(CRLF, at);
    const size = parseInt(text.slice(at, lineEnd), 16);
    if (!(size > 0)) return body;
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

function lastEvent(body: string): string {
  return body.slice(body.lastIndexOf('data: ') + 'data: '.length).trimEnd();
}

function check(body: string, id: number, expected: string | RegExp): void {
  const message = JSON.parse(body) as {
    id?: number;
    result?: { isError?: boolean; content?: { text?: string }[] };
  };
  const text = message.result?.content?.[0]?.text ?? '';
  const fits = typeof expected === 'string' ? text === expected : expected.test(text);
  if (message.id !== id || !fits || message.result?.isError === true)
    throw new Error(`not the answer to call ${id}: ${body.slice(0, 300)}`);
}

function checkTask(body: string, id: number): void {
  const message = JSON.parse(body) as { id?: number; result?: { resultType?: string; taskId?: string } };
  const { resultType, taskId } = message.result ?? {};
  if (message.id !== id || resultType !== 'task' || !taskId)
    throw new Error(`no task for call ${id}: ${body.slice(0, 300)}`);
}
