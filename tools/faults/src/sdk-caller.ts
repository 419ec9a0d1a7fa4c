/** The MCP SDK's v2 client, pinned to 2026-07-28, with what the fault test needs to know of its failures. */
import { Client, ProtocolError, SdkHttpError, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { ErrorBody } from '@callboard/envelope';
import { answerOfError, answerOfResult, type Answer, type ToolResult } from './answer.js';
import type { Caller, ToolCall } from './http-caller.js';

export class SdkCaller implements Caller {
  #client: Client | undefined;

  constructor(
    readonly url: string,
    private readonly token: string | undefined,
    private readonly timeoutMs: number,
  ) {}

  async call(call: ToolCall): Promise<Answer> {
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
      return { kind: 'lost', reason: (error as Error).message };
    }
  }

  async #connect(): Promise<Client> {
    const client = new Client(
      { name: 'callboard-faults-sdk', version: '1.0.0' },
      { versionNegotiation: { mode: { pin: '2026-07-28' } } },
    );
    const headers: { [name: string]: string } =
      this.token === undefined ? {} : { authorization: `Bearer ${this.token}` };
    await client.connect(new StreamableHTTPClientTransport(new URL(this.url), { requestInit: { headers } }), {
      timeout: this.timeoutMs,
    });
    return client;
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.close();
  }
}
