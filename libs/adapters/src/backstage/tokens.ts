/**
 * With which token Callboard calls a Backstage. Asked when an attempt begins, in the runner that makes it, so that no token is ever in an
 * envelope, a stream, a log or an error; whoever answers keeps what it hands out to itself.
 */
import { ActionError } from '@callboard/actions';
import type { SecretTexts } from '@callboard/config';
import type { BackstageSite } from './site.js';

/** Whom a call is for, and with which command. */
export interface Caller {
  tenantId: string;
  userId: string;
  correlationId: string;
  readonly command: { readonly caller_token?: boolean };
}

export interface BackstageTokens {
  /**
   * @param caller absent: for Callboard itself, as when it lists actions
   * @throws ActionError when there is none; what else is thrown means that there is none now
   */
  tokenFor(caller: Caller | undefined, signal: AbortSignal): Promise<string>;
}

/** The token of the adapter file, whoever calls: Backstage sees a service, which its permission policy does not bind. */
export class ServiceToken implements BackstageTokens {
  /** `token` may hold the place of a secret, which is read for each attempt. */
  constructor(
    private readonly token: string,
    private readonly secrets: SecretTexts,
  ) {}

  async tokenFor(): Promise<string> {
    return (await this.secrets.fill(this.token)).value;
  }
}

/** Resolves with the token with which the caller of a command came, or with undefined when nobody has it any more. */
export type AskForToken = (caller: Caller, signal: AbortSignal) => Promise<string | undefined>;

/**
 * The caller's own token, where it came with one of this Backstage; what Backstage lets that user do is then Backstage's to say. A command that
 * was accepted with such a token never runs with that of the service: the token's end, or that of the front end that had it, is the command's.
 */
export class CallersToken implements BackstageTokens {
  constructor(
    private readonly site: Pick<BackstageSite, 'name' | 'caller_tokens' | 'issuer' | 'url'>,
    private readonly service: ServiceToken,
    private readonly ask: AskForToken,
  ) {}

  async tokenFor(caller: Caller | undefined, signal: AbortSignal): Promise<string> {
    const { caller_tokens: rule, name, url, issuer = `${url}/api/auth` } = this.site;
    if (!caller || rule === 'off') return this.service.tokenFor();
    if (caller.command.caller_token) {
      const own = await this.ask(caller, signal);
      // That of another Backstage is not shown to this one.
      if (own === undefined || issuerOf(own) === issuer)
        return own ?? refuse('The token with which you came is gone: call again');
    }
    if (rule === 'required') refuse(`Backstage ${name} is called only for its own users, with their tokens`);
    return this.service.tokenFor();
  }
}

function refuse(message: string): never {
  throw new ActionError(message, { code: 'unauthorized' });
}

/** Not verified: the front end has done that, and Backstage does. */
function issuerOf(token: string): unknown {
  try {
    return (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { iss?: unknown }).iss;
  } catch {
    return undefined;
  }
}
