/**
 * The MCP SDK's v2 client in either era, with what the fault test needs to know of its failures. In the 2025 era it has a session
 * and resumes a broken stream by itself; a call that it gives up is made again by the caller, as in the 2026 era.
 */
import { Client, ProtocolError, SdkHttpError, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { ErrorBody } from '@callboard/envelope';
import { answerOfError, answerOfResult, type Answer, type ToolResult } from './answer.js';
import type { Caller, ToolCall } from './http-caller.js';

/** Until a killed front end is back, and some more; with the SDK's two retries a call would wait for its timeout instead. */
const RECONNECTION = {
  initialReconnectionDelay: 200,
  reconnectionDelayGrowFactor: 1.5,
  maxReconnectionDelay: 2_000,
  maxRetries: 15,
};

export class SdkCaller implements Caller {
  #client: Client | undefined;
  /** What the SDK met and did not throw: a broken stream, a resumption that failed. */
  #trouble = '';

  constructor(
    readonly url: string,
    private readonly token: string | undefined,
    private readonly timeoutMs: number,
    private readonly era: 'modern' | 'legacy',
  ) {}

  async call(call: ToolCall): Promise<Answer> {
    this.#trouble = '';
    try {
      this.#client ??= await this.#connect();
      const result = await this.#client.callTool(
        { name: call.name, arguments: call.arguments, ...(call.meta && { _meta: call.meta }) },
        { timeout: this.timeoutMs },
      );
      return answerOfResult(result as ToolResult);
    } catch (error) {
      if (error instanceof ProtocolError) {
        return answerOfError({ message: error.message, ...(error.data as Partial<ErrorBody> | undefined) });
      }
      if (error instanceof SdkHttpError && (error.status === 429 || error.status >= 500)) {
        return { kind: 'later', code: `http_${error.status}` };
      }
      if (error instanceof SdkHttpError) return { kind: 'refused', code: `http_${error.status}`, message: '' };
      // A client whose connection broke is given up with it; the next attempt negotiates anew.
      await this.close();
      const reason = (error as Error).message;
      return { kind: 'lost', reason: this.#trouble ? `${reason}; before that: ${this.#trouble}` : reason };
    }
  }

  async #connect(): Promise<Client> {
    const client = new Client(
      { name: 'callboard-faults-sdk', version: '1.0.0' },
      { versionNegotiation: { mode: this.era === 'modern' ? { pin: '2026-07-28' } : 'legacy' } },
    );
    client.onerror = ({ message }) => (this.#trouble = message);
    const headers: { [name: string]: string } =
      this.token === undefined ? {} : { authorization: `Bearer ${this.token}` };
    const transport = new StreamableHTTPClientTransport(new URL(this.url), {
      requestInit: { headers },
      reconnectionOptions: RECONNECTION,
    });
    await client.connect(transport, { timeout: this.timeoutMs });
    return client;
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.close();
  }
}
