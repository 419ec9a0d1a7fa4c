/** What is told of the certificates of a process. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { watchCertificates } from './certificates.js';
import { metrics } from './ops-server.js';

/** Signed by nobody, good for nothing: only when they expire counts. */
const EARLY = {
  expires: '2032-05-21T00:52:08Z',
  pem: `-----BEGIN CERTIFICATE-----
MIIBfTCCASOgAwIBAgIUbRtnoZr96qleF6ED+SiLp+RmA2YwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJc3BlYy0yMDAwMB4XDTI2MTEyOTAwNTIwOFoXDTMyMDUyMTAw
NTIwOFowFDESMBAGA1UEAwwJc3BlYy0yMDAwMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEu5tLDd0IGT92SeRHiQX2h2oNtckIU4NgCbnj2GGCpft+AyDKqfg2KEj8
VfG8xb+SxqaqVOtaJ/VcRy4hZuiSUqNTMFEwHQYDVR0OBBYEFF3jShckB0IsGqxb
+mJTLdGI4eCeMB8GA1UdIwQYMBaAFF3jShckB0IsGqxb+mJTLdGI4eCeMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhANNgFqm/G23rqRmsiie30vBB
0j8cBO3IYAyg6oENf+HKAiAiecDz2UDxQWTMtpYYF/4eEHy/IaQ3JAQ/+SmXDT3M
yQ==
-----END CERTIFICATE-----
`,
};
const LATE = {
  expires: '2037-11-11T00:52:08Z',
  pem: `-----BEGIN CERTIFICATE-----
MIIBfDCCASOgAwIBAgIUAg6CW5IC/KcYQNdJgljfbzTFz1IwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJc3BlYy00MDAwMB4XDTI2MTEyOTAwNTIwOFoXDTM3MTExMTAw
NTIwOFowFDESMBAGA1UEAwwJc3BlYy00MDAwMFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEMWpVziyhqlSeDWOVmRaDdI7k+23tgSMTWZnFMWy2OM2YL5gxfCFdH5jY
yGjbuW5likLWwRrQTa97s1+osNJxAaNTMFEwHQYDVR0OBBYEFGj5+dheApw2hFuS
kQeK8iWQkRNtMB8GA1UdIwQYMBaAFGj5+dheApw2hFuSkQeK8iWQkRNtMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgWqKO3avcGfrqM4lx0RHJg5zQ
+VjyOxjhkWcdLCOyXeUCIHozBtAI/QBZ62gnvVIXMJrFsKaXIngwarybHtHhQcp8
-----END CERTIFICATE-----
`,
};

let folder: string;
let natsTlsCa: string;
let natsTlsCert: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-certificates-'));
  natsTlsCa = join(folder, 'ca.pem');
  natsTlsCert = join(folder, 'cert.pem');
  await writeFile(natsTlsCa, EARLY.pem + LATE.pem);
  await writeFile(natsTlsCert, EARLY.pem + LATE.pem);
  watchCertificates({ natsTlsCa, natsTlsCert });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** By certificate, when it expires by what the metric says now, to the minute. */
async function told(): Promise<Record<string, string>> {
  const { values } = await metrics.getSingleMetric('callboard_certificate_expires_seconds')!.get();
  return Object.fromEntries(
    values.map(({ value, labels }) => [
      String(labels['certificate']),
      new Date(Math.round((Date.now() + value * 1_000) / 60_000) * 60_000).toISOString(),
    ]),
  );
}

const minuteOf = ({ expires }: { expires: string }) =>
  new Date(Math.round(Date.parse(expires) / 60_000) * 60_000).toISOString();

it('is the last of the authorities, and the first of what is shown to the server', async () => {
  expect(await told()).toEqual({ authorities: minuteOf(LATE), own: minuteOf(EARLY) });
});

it('is of the file as it is now; a file that cannot be used has no figure', async () => {
  await writeFile(natsTlsCert, LATE.pem);
  await writeFile(natsTlsCa, 'not a certificate');
  expect(await told()).toEqual({ own: minuteOf(LATE) });
});
