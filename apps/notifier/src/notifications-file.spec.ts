import { describe, expect, it } from '@jest/globals';
import { DEFAULT_BUDGETS, settingsOf } from './notifications-file.js';

const ENV = { TOKEN: 'of-all', ACME: 'of-acme' };
const read = (text: string) => settingsOf(text, 'notifications.yaml', {}, ENV);
const BACKSTAGE = 'backstage: { url: "https://backstage.example/", token: { env: TOKEN } }\n';

describe('the notifications file', () => {
  it('has careful defaults', async () => {
    const settings = await read(BACKSTAGE);
    expect(settings.backstageOf('any')).toEqual({ url: 'https://backstage.example', token: 'of-all' });
    expect(settings.cleaning).toEqual({ secrets: 'cut', personalData: 'keep' });
    expect(settings.broadcast).toEqual({ allow: false, approval: 'always' });
    expect(settings.highestSeverity('anybody')).toBe('critical');
    expect(settings.budgets).toBe(DEFAULT_BUDGETS);
    expect(DEFAULT_BUDGETS.map(({ name, max }) => `${name} ${max}`)).toEqual([
      'tenant-per-1h 1000',
      'client-per-1h 100',
      'client-critical-per-1h 5',
      'recipient-per-1h 30',
    ]);
  });

  it('says which Backstage a tenant has, and what a client may do', async () => {
    const settings = await read(
      `${BACKSTAGE}tenants: { acme: { backstage: { url: "https://acme.example", token: { env: ACME } } } }
severity: { highest: high, clients: { pager: critical } }`,
    );
    expect(settings.backstageOf('acme')).toEqual({ url: 'https://acme.example', token: 'of-acme' });
    expect(settings.backstageOf('globex')?.token).toBe('of-all');
    expect(settings.highestSeverity('pager')).toBe('critical');
    expect(settings.highestSeverity('toString')).toBe('high');
  });

  it('names budgets by what they count, and reads their windows', async () => {
    const { budgets } = await read(
      `${BACKSTAGE}budgets: [{ level: topic, max: 3, per: 90s, only: [builds] }, { level: tenant, max: 1, per: 2d, broadcast: true, exceeded: digest }]`,
    );
    expect(budgets).toMatchObject([
      { name: 'topic-per-90s', perMs: 90_000, only: ['builds'], exceeded: 'refuse' },
      { name: 'tenant-broadcast-per-2d', perMs: 172_800_000, broadcast: true, exceeded: 'digest' },
    ]);
  });

  it.each([
    ['', 'CALLBOARD_BACKSTAGE_URL is not set: set it, or name a Backstage in the file of CALLBOARD_NOTIFICATIONS'],
    [`${BACKSTAGE}budget: []`, 'has a key budget that is not known'],
    [
      `${BACKSTAGE}budgets: [{ level: user, max: 1, per: 1h }]`,
      'line 2: budgets[0].level must be one of global, tenant',
    ],
    [`${BACKSTAGE}budgets: [{ level: client, max: 1, per: hour }]`, 'budgets[0].per must match'],
    [`${BACKSTAGE}budgets: [{ level: client, max: 100000, per: 1h }]`, 'budgets[0].max must be <= 10000'],
    [
      `${BACKSTAGE}budgets: [{ level: client, max: 1, per: 1h }, { level: client, max: 2, per: 1h }]`,
      'budgets[1] has the name client-per-1h of another',
    ],
    ['backstage: { url: "ftp://x", token: { env: TOKEN } }', 'backstage.url must be an http or https URL'],
    [
      'backstage: { url: "https://x", token: { env: NONE } }',
      'backstage.token.env names an environment variable that is not set',
    ],
    ['backstage: { url: "https://x", token: hunter2 }', 'backstage.token must be object'],
  ])('with a mistake is refused with its place: %s', async (text, message) => {
    const reading = read(text);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.not.toThrow('hunter2');
  });
});
