import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTestNats, waitFor, type TestNats } from '@callboard/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { CallerTokens, askForToken } from './caller-tokens.js';

const TOKEN = 'the-token-of-ada-which-nobody-else-may-see';
const command = (id: string) => ({ tenant_id: 'acme', correlation_id: id });
const never = new AbortController().signal;

describe('the token of a caller', () => {
  let nats: TestNats;
  let runner: NatsConnection;
  beforeAll(async () => {
    nats = await startTestNats({ topology: { partitions: 1 } });
    runner = await nats.connect('action-runner');
  });
  afterAll(() => nats.dispose());
  const inAnHour = () => Date.now() + 3_600_000;

  async function frontEnd(): Promise<{ nc: NatsConnection; tokens: CallerTokens }> {
    const nc = await nats.connect('mcp-frontend');
    return { nc, tokens: new CallerTokens(nc) };
  }
  const held = async (tokens: CallerTokens, nc: NatsConnection, id: string, until = inAnHour()) => {
    const takeBack = tokens.hold(command(id), TOKEN, until)!;
    await nc.flush();
    return takeBack;
  };

  it('is lent to the runner of the command, once for each question, and in no message that others could read', async () => {
    const { nc, tokens } = await frontEnd();
    await held(tokens, nc, 'c_lent');
    const sre = await nats.connect('sre');
    const seen: string[] = [];
    sre.subscribe('>', { callback: (_, { subject, data }) => void seen.push(`${subject} ${Buffer.from(data)}`) });
    await sre.flush();
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(await askForToken(runner, command('c_lent'), never)).toBe(TOKEN);
    }
    await waitFor(() => seen.filter((line) => line.startsWith('_INBOX_action-runner')).length >= 2, {
      what: 'the answers, as a person sees them',
    });
    expect(seen.join('\n')).not.toContain(TOKEN);
    tokens.close();
  });

  it('is asked for by nobody but a runner', async () => {
    const { nc, tokens } = await frontEnd();
    await held(tokens, nc, 'c_theirs');
    for (const user of ['mcp-frontend', 'sre', 'operator', 'service', 'event-ingestor']) {
      const other = await nats.connect(user);
      await expect(askForToken(other, command('c_theirs'), never)).rejects.toThrow(/permission|denied|authoriz/i);
    }
    tokens.close();
  });

  it('is there no longer when its last call has taken it back, when it has run out, and when its front end has died', async () => {
    const { nc, tokens } = await frontEnd();
    const first = await held(tokens, nc, 'c_back');
    const second = await held(tokens, nc, 'c_back');
    first();
    first();
    expect(await askForToken(runner, command('c_back'), never)).toBe(TOKEN);
    second();
    await nc.flush();
    expect(await askForToken(runner, command('c_back'), never)).toBeUndefined();

    await held(tokens, nc, 'c_late', Date.now() + 100);
    await waitFor(() => tokens.size === 0, { what: 'its end' });
    await nc.flush();
    expect(await askForToken(runner, command('c_late'), never)).toBeUndefined();

    await held(tokens, nc, 'c_dead');
    await nc.close();
    // The server may send it one more question before it sees that it has gone: that it cannot be said now.
    const asked = () => askForToken(runner, command('c_dead'), never).catch(() => 'not now');
    await waitFor(async () => (await asked()) === undefined, { what: 'the end of the front end' });
    tokens.close();
  });
});
