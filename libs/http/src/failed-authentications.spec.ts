import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from '@jest/globals';
import { FailedAuthentications, clientAddress, networkOf } from './failed-authentications.js';

const from = (remoteAddress: string, headers: IncomingMessage['headers'] = {}) =>
  ({ socket: { remoteAddress }, headers }) as unknown as IncomingMessage;
const GOOD = { authorization: 'Bearer good' };
const BAD = { authorization: 'Bearer bad' };

function open(most: number, trustedHops = 0) {
  const clock = { ms: 0 };
  const failures = new FailedAuthentications({ maxFailedAuthentications: most, trustedHops }, () => clock.ms);
  return { clock, failures };
}

describe('an address', () => {
  it('is refused after so many failures in a minute, and gets its room back evenly', () => {
    const { clock, failures } = open(3);
    for (let i = 0; i < 3; i++) {
      expect(failures.refusal(from('10.0.0.1', BAD))).toBeUndefined();
      failures.failed(from('10.0.0.1', BAD));
    }
    expect(failures.refusal(from('10.0.0.1', BAD))).toMatchObject({
      code: 'rate_limited',
      details: { retryAfterMs: 20_000 },
    });
    clock.ms = 19_999;
    expect(failures.refusal(from('10.0.0.1', BAD))).toBeDefined();
    clock.ms = 20_000;
    expect(failures.refusal(from('10.0.0.1', BAD))).toBeUndefined();
    failures.failed(from('10.0.0.1', BAD));
    expect(failures.refusal(from('10.0.0.1', BAD))).toBeDefined();
  });

  it('is another than those beside it, and an IPv6 address is all of its /64', () => {
    const { failures } = open(1);
    failures.failed(from('10.0.0.1', BAD));
    failures.failed(from('2001:db8:0:1::1', BAD));
    expect(failures.refusal(from('10.0.0.2', BAD))).toBeUndefined();
    expect(failures.refusal(from('::ffff:10.0.0.1', BAD))).toBeDefined();
    expect(failures.refusal(from('2001:db8:0:1:ffff::7', BAD))).toBeDefined();
    expect(failures.refusal(from('2001:db8:0:2::1', BAD))).toBeUndefined();
  });

  it('does not lock out credentials that were good before, until they are not', () => {
    const { failures } = open(1);
    failures.succeeded(from('10.0.0.9', GOOD));
    failures.failed(from('10.0.0.1', BAD));
    expect(failures.refusal(from('10.0.0.1', GOOD))).toBeUndefined();
    expect(failures.refusal(from('10.0.0.1', { authorization: 'Bearer never seen' }))).toBeDefined();
    failures.failed(from('10.0.0.1', GOOD));
    expect(failures.refusal(from('10.0.0.1', GOOD))).toBeDefined();
  });

  it('is never refused where there is no limit', () => {
    const { failures } = open(0);
    for (let i = 0; i < 1_000; i++) failures.failed(from('10.0.0.1', BAD));
    expect(failures.refusal(from('10.0.0.1', BAD))).toBeUndefined();
  });

  it('is forgotten when there are too many others', () => {
    const { failures } = open(1);
    for (let i = 0; i < 20_000; i++) failures.failed(from(`10.0.${i >> 8}.${i & 255}`));
    expect(failures.addresses).toBe(10_000);
    expect(failures.refusal(from('10.0.0.1'))).toBeUndefined();
    expect(failures.refusal(from(`10.0.${19_999 >> 8}.${19_999 & 255}`))).toBeDefined();
  });
});

describe('where a request comes from', () => {
  const forwarded = { 'x-forwarded-for': '6.6.6.6, 1.2.3.4, 10.0.0.7' };

  it.each([
    [0, forwarded, '10.9.9.9'],
    [1, forwarded, '10.0.0.7'],
    [2, forwarded, '1.2.3.4'],
    [4, forwarded, '10.9.9.9'],
    [1, {}, '10.9.9.9'],
    [1, { 'x-forwarded-for': 'unknown' }, '10.9.9.9'],
  ])('behind %d proxies, with %j, is %s', (hops, headers, address) => {
    expect(clientAddress(from('10.9.9.9', headers), hops)).toBe(address);
  });

  it.each([
    ['1.2.3.4', '1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['2001:0DB8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['64:ff9b::1.2.3.4', '64:ff9b:0:0::/64'],
    ['2001:db8::5:6:7:8:9', '2001:db8:0:5::/64'],
  ])('%s is of %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
