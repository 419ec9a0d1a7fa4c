/**
 * `npm run verify:deploy`: chart and images, as far as they can be proven without a cluster. The chart's specs; every NATS user against every verb
 * on a cluster of three with the rendered configuration; every image, twice; and the rendered development scenario, played with podman as a user
 * that is in no image, with a conversation through it.
 *
 * What a missing program keeps from being done is skipped, said and counted: it has not passed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveNatsServer } from '@callboard/nats-server';
import { build, buildImages, digestOf } from './build-images.js';
import { Checks } from './checks.js';
import { findHelm, type Helm } from './helm.js';
import { prepareInstallation, writeRenderedNats } from './installation.js';
import { PlayedInstallation, SOME_USER } from './play.js';
import { Podman } from './podman.js';
import { APPS, IMAGES } from './repository.js';
import { runSpecs } from './run-specs.js';
import { SCENARIOS } from './scenarios.js';
import { writeNatsImage, writeNodeBase } from './stand-in.js';

const BASE = 'localhost/callboard-node-base:dev';
const REPOSITORY = 'localhost/callboard';
const TAG = 'dev';

const checks = new Checks((line) => console.log(line));
const work = await mkdtemp(join(tmpdir(), 'callboard-verify-'));
const tried: string[] = [];
const helm = await findHelm({ tried, compile: true });
const missing = Podman.missing();
try {
  if (helm) console.log(`helm ${helm.version} (${helm.from})`);
  const specs = await runSpecs('tools/deploy/dist');
  checks.add('the chart', specs, helm ? specs.said : `There is no helm: ${tried.join('; ')}`);
  if (helm) await permissions(helm);
  else checks.skip('the permissions of every NATS user with the rendered configuration', 'there is no helm');
  if (missing.length > 0) {
    checks.skip('the images', `not here: ${missing.join(', ')}`);
    checks.skip('the development scenario, played', `not here: ${missing.join(', ')}`);
  } else {
    const podman = await Podman.open(join(work, 'podman'));
    const built = await images(podman);
    if (!helm) checks.skip('the development scenario, played', 'there is no helm');
    else if (!built) checks.skip('the development scenario, played', 'there are no images');
    else await play(helm, podman);
    await podman.run(['system', 'reset', '--force']).catch(() => '');
  }
} finally {
  await rm(work, { recursive: true, force: true });
}
const { passed, failed, skipped } = checks.counts;
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;

async function permissions(helm: Helm): Promise<void> {
  const prepared = join(work, 'ha-r3');
  const rendered = join(work, 'ha-r3-nats');
  const scenario = SCENARIOS.find(({ name }) => name === 'ha-r3')!;
  await writeRenderedNats(await prepareInstallation(helm, scenario, prepared), prepared, rendered);
  const counts = await runSpecs(
    'libs/jetstream/dist/permissions',
    { CALLBOARD_SPEC_RENDERED: rendered },
    'given what the chart renders',
  );
  checks.add(
    'the permissions of every NATS user, on three servers with the rendered configuration',
    counts,
    counts.said,
  );
}

/** @returns whether all of them are there. */
async function images(podman: Podman): Promise<boolean> {
  const { builder } = podman;
  const folder = join(work, 'images');
  const options = { base: BASE, repository: REPOSITORY, tag: TAG, work: folder, say: () => undefined };
  const based = await checks.check('a base that stands in for UBI, and a nats-server', async () => {
    await writeNodeBase(join(folder, 'base'));
    await build(builder, join(folder, 'base'), BASE, 1);
    const { path, version } = await resolveNatsServer();
    await writeNatsImage(join(folder, 'nats'), path);
    await build(builder, join(folder, 'nats'), `${REPOSITORY}-nats:${TAG}`, 1);
    return `Node ${process.versions.node}, nats-server ${version}`;
  });
  if (!based) return false;
  let all = true;
  for (const app of IMAGES) {
    const image = `${REPOSITORY}-${app}:${TAG}`;
    const made = await checks.check(`the image of ${app}`, async () => {
      await buildImages(builder, { ...options, apps: [app] });
      return (await podman.run(['image', 'inspect', '--format', '{{.Size}}', image])).trim().replace(/\d{6}$/, ' MB');
    });
    all &&= made;
  }
  if (!all) return false;
  await checks.check('an image that is built again is the same', async () => {
    const image = `${REPOSITORY}-event-ingestor:${TAG}`;
    const before = await digestOf(builder, image);
    await podman.run(['rmi', '--force', image]);
    await buildImages(builder, { ...options, apps: ['event-ingestor'] });
    const after = await digestOf(builder, image);
    if (after !== before) throw new Error(`it was ${before}, and is ${after}`);
    return before.slice(0, 12);
  });
  await checks.check('an image holds its bill of materials, and neither npm nor anything of development', async () => {
    const look = `const fs = require('node:fs');
      const sbom = JSON.parse(fs.readFileSync('/app/sbom.cdx.json', 'utf8'));
      const there = ['/usr/bin/npm', '/usr/lib/node_modules', '/app/node_modules/typescript', '/app/node_modules/jest'].filter(fs.existsSync);
      console.log(JSON.stringify({ components: sbom.components.length, there }));`;
    const said = await podman.run(asOpenShift('mcp-frontend', ['-e', look]));
    const { components, there } = JSON.parse(said) as { components: number; there: string[] };
    if (there.length > 0 || components === 0) throw new Error(`${components} components; it has ${there.join(', ')}`);
    return `${components} components`;
  });
  return true;
}

/** As OpenShift would run it, without a network. */
function asOpenShift(app: string, args: string[]): string[] {
  return [
    ...['run', '--rm', '--user', `${SOME_USER}:0`, '--read-only', '--cap-drop', 'all', '--network', 'none'],
    ...['--security-opt', 'no-new-privileges', '--entrypoint', '["node"]', `${REPOSITORY}-${app}:${TAG}`, ...args],
  ];
}

async function play(helm: Helm, podman: Podman): Promise<void> {
  const scenario = SCENARIOS.find(({ name }) => name === 'minimal-dev')!;
  const folder = join(work, 'minimal-dev');
  const played = new PlayedInstallation(podman, await prepareInstallation(helm, scenario, folder), folder);
  try {
    await played.open();
    const up = async (app: string) => {
      for (const pod of played.of(app)) {
        await played.start(pod);
        await played.ready(pod);
      }
    };
    const started = await checks.check('played: NATS comes up with the rendered configuration', () => up('nats'));
    if (!started) return;
    await checks.check('played: the Job makes the streams', async () => {
      for (const job of played.of('streams')) await ended(played, job);
    });
    const apps = APPS.filter((app) => played.of(app).length > 0);
    for (const app of apps) {
      await checks.check(
        `played: ${app} becomes ready as user ${SOME_USER}, with no capability and a read-only root`,
        async () => {
          await up(app);
          for (const pod of played.of(app)) {
            const { Uid, Gid, CapEff, CapBnd, NoNewPrivs, Seccomp } = await played.process(pod);
            const is = [
              Uid!.split('\t')[0],
              Gid!.split('\t')[0],
              Number(CapEff),
              Number(CapBnd),
              NoNewPrivs,
              Seccomp,
            ].join(' ');
            if (is !== `${SOME_USER} 0 0 0 1 2`) throw new Error(`${pod.name} runs as ${is}`);
          }
        },
      );
    }
    for (const test of played.of('test')) {
      await checks.check(`played: helm test, ${test.name}`, () => ended(played, test));
    }
    for (const app of apps) {
      await checks.check(`played: ${app} drains at SIGTERM, and ends with 0`, async () => {
        for (const pod of played.of(app)) {
          const code = await played.stop(pod);
          if (code !== 0) throw new Error(`${pod.name} ended with ${code}: ${await played.lastWords(pod)}`);
        }
      });
    }
  } catch (error) {
    await checks.check('played: the scenario as a whole', () => Promise.reject(error as Error));
  } finally {
    await played.close();
  }
}

async function ended(played: PlayedInstallation, pod: Parameters<PlayedInstallation['ends']>[0]): Promise<string> {
  await played.start(pod);
  const code = await played.ends(pod);
  const said = await played.lastWords(pod);
  if (code !== 0) throw new Error(`it ended with ${code}: ${said}`);
  return said.split('\n').at(-1)!;
}
