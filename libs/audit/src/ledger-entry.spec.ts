import { canonicalJson, type JsonObject } from '@callboard/envelope';
import { describe, expect, it } from '@jest/globals';
import { placedBy, type LedgerEntry } from './ledger-entry.js';

const ENTRY: LedgerEntry = {
  tenant_id: 'acme',
  position: 12,
  previous: 'bWq3dPzrBqzKfYk0uJXwZy2tG8fJt0a1b2c3d4e5f6g',
  stream_sequence: 345,
  source_digest: 'AWq3dPzrBqzKfYk0uJXwZy2tG8fJt0a1b2c3d4e5f6g',
  id: 'a_7f3a',
  at: '2026-03-04T05:06:07.890Z',
  app: 'mcp-frontend',
  instance: 'mcp-frontend-1',
  kind: 'call',
  what: 'submitted',
  sealed: 'x'.repeat(200),
};

/** Of a body, read as JSON. */
function said(body: string): Partial<LedgerEntry> {
  const { tenant_id, position, previous, stream_sequence, kind, at, correlation_id, actor } = JSON.parse(
    body,
  ) as LedgerEntry;
  return { tenant_id, position, previous, stream_sequence, kind, at, correlation_id, actor } as Partial<LedgerEntry>;
}

describe('what an entry is placed by is what its body says as JSON', () => {
  it.each<[string, JsonObject]>([
    ['of the usual form', {}],
    [
      'with everything',
      { actor: 'p_1', correlation_id: 'c_1', action: 'demo.echo', code: 'forbidden', arguments_digest: 'd' },
    ],
    ['with details', { details: { deadline_ms: 1000, status: 'a "b" \\ c', repeated: true, less: -1 } }],
    ['with a list among its details', { details: { policies: ['a', 'b'], from: 3 } }],
    ['with no details', { details: {} }],
    [
      'with text that looks like members',
      { details: { 'a","kind":"x': '"tenant_id":"globex"' }, action: 'a","actor":"b' },
    ],
    ['with characters that are escaped', { tenant_id: 'ac"me\\\n', correlation_id: '\u0000\u001f', actor: '\ud800' }],
    ['with characters beyond ASCII', { tenant_id: 'bücher 🙂', at: '\u2028' }],
    ['with a member that is not known', { zone: 'eu', tenant_id: 'globex' }],
    ['with numbers that are not counts', { position: -3, stream_sequence: 2 ** 60 }],
    ['with parts of numbers', { position: 1.5 }],
    ['with no number', { position: '12' }],
    ['of the ledger', { kind: 'ledger', details: { from: 7, messages: 3 } }],
  ])('%s', (_, more) => {
    const body = canonicalJson({ ...ENTRY, ...more } as unknown as JsonObject);
    expect(placedBy(body)).toMatchObject(JSON.parse(JSON.stringify(said(body))) as object);
    expect(placedBy(body).actor).toBe(said(body).actor);
    expect(placedBy(body).correlation_id).toBe(said(body).correlation_id);
  });

  it('of the ledger, with its details', () => {
    const body = canonicalJson({ ...ENTRY, kind: 'ledger', details: { from: 7 } } as unknown as JsonObject);
    expect(placedBy(body).details).toEqual({ from: 7 });
  });

  it.each([
    ['cut off', (body: string) => body.slice(0, -1)],
    ['with something behind it', (body: string) => `${body}x`],
    ['with details that are none', (body: string) => body.replace('"id"', '"details":{"a"},"id"')],
    ['with a number that is none', (body: string) => body.replace('"position":12', '"position":012')],
    ['with a character that must be escaped', (body: string) => body.replace('acme', 'ac\nme')],
  ])('and is no JSON when it is %s', (_, change) => {
    const body = change(canonicalJson(ENTRY as unknown as JsonObject));
    expect(() => placedBy(body)).toThrow(SyntaxError);
  });
});
