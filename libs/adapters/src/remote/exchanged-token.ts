/**
 * The token with which a far side is called for the caller of a command: asked for at each attempt, in exchange for the caller's own, and kept by
 * nobody. A caller who came without a token of that issuer is not served; nothing is done under another name instead.
 */
import { TokenExchange } from '@callboard/access';
import { ActionError, type ActionContext } from '@callboard/actions';
import type { Filled, SecretTexts } from '@callboard/config';
import { metrics } from '@callboard/telemetry';
import { Counter } from 'prom-client';
import type { AskForToken } from '../backstage/tokens.js';
import { notDone } from '../endings.js';

/** As the adapter file says it. */
export interface TokenExchangeConfig {
  issuer: string;
  client_id: string;
  /** Holds the place of the secret, which is read for each attempt. */
  client_secret: string;
  audience?: string;
  resource?: string;
  scopes: string[];
}

const exchanges = new Counter({
  name: 'callboard_token_exchanges_total',
  help: "Callers' tokens that an issuer was asked to exchange for those of a far side",
  labelNames: ['action', 'result'],
  registers: [metrics],
});

export class ExchangedToken {
  readonly #exchange: TokenExchange;

  constructor(
    private readonly action: string,
    private readonly config: TokenExchangeConfig,
    private readonly ask: AskForToken,
    private readonly secretTexts: SecretTexts,
  ) {
    const { client_id: clientId, ...more } = config;
    this.#exchange = new TokenExchange({ ...more, clientId });
  }

  /**
   * The value of `Authorization`.
   * @throws ActionError
   */
  async authorization(context: ActionContext): Promise<Filled<string>> {
    const { issuer } = this.config;
    if (!context.command.caller_token) {
      refuse(`This action is for callers who come with a token of ${issuer}`);
    }
    const own = await this.#ask(context);
    if (own === undefined) refuse('The token with which you came is gone: call again');
    const clientSecret = await this.#clientSecret();
    const exchanged = await this.#exchange.exchange(own, clientSecret);
    exchanges.inc({ action: this.action, result: exchanged.kind });
    switch (exchanged.kind) {
      case 'given':
        return { value: `Bearer ${exchanged.token}`, secrets: [exchanged.token, own, clientSecret] };
      case 'foreign':
        return refuse(`This action is for callers who come with a token of ${issuer}`);
      case 'refused':
        return refuse(`${issuer} gives no token for this action in exchange for yours`);
      case 'unavailable':
        throw notDone(`${issuer} cannot be asked for a token now`);
    }
  }

  async #ask(context: ActionContext): Promise<string | undefined> {
    try {
      return await this.ask(context, context.signal);
    } catch (error) {
      if (context.signal.aborted) throw error;
      throw notDone("The caller's token cannot be had now", error);
    }
  }

  async #clientSecret(): Promise<string> {
    try {
      return (await this.secretTexts.fill(this.config.client_secret)).value;
    } catch (error) {
      throw notDone(`The secret for ${this.config.issuer} cannot be had now`, error);
    }
  }
}

function refuse(message: string): never {
  throw new ActionError(message, { code: 'unauthorized' });
}
