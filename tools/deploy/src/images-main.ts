/**
 * `npm run images -- --base BASE@sha256:… --repository REGISTRY/NAMESPACE/callboard`: builds an image of each app, and of the command line.
 * `--push` pushes each.
 */
import { parseArgs } from 'node:util';
import { buildImages, versionOfProduct } from './build-images.js';
import { IMAGES, inRepository } from './repository.js';

const { values } = parseArgs({
  options: {
    base: { type: 'string' },
    repository: { type: 'string', default: 'localhost/callboard' },
    tag: { type: 'string' },
    app: { type: 'string', multiple: true },
    push: { type: 'boolean', default: false },
    program: { type: 'string', default: 'podman' },
  },
});
const unknown = (values.app ?? []).filter((app) => !(IMAGES as readonly string[]).includes(app));
if (!values.base || unknown.length > 0) {
  console.error(
    unknown.length > 0
      ? `There is no ${unknown.join(', ')}. The images are ${IMAGES.join(', ')}.`
      : '--base names the image of Node to build on, by its digest: docs/deployment.md says how to take it.',
  );
  process.exit(2);
}
await buildImages(
  { program: values.program, build: values.program.endsWith('buildah') ? ['bud'] : ['build'] },
  {
    base: values.base,
    repository: values.repository,
    tag: values.tag ?? (await versionOfProduct()),
    work: inRepository('dist/images'),
    ...(values.app && { apps: values.app }),
    push: values.push,
    say: (line) => console.log(line),
  },
).catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
