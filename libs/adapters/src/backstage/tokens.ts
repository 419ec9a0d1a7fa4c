/**
 * With which token Callboard calls a Backstage. Asked when an attempt begins, in the runner that makes it, so that no token is ever in an
 * envelope, a stream, a log or an error; whoever answers keeps what it hands out to itself.
 */

/** Whom a call is for. */
export interface Caller {
  tenantId: string;
  userId: string;
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
  constructor(private readonly token: string) {}

  tokenFor(): Promise<string> {
    return Promise.resolve(this.token);
  }
}
