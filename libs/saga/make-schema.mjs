/** Writes schema/saga-definition.schema.json from what the reader of definitions uses: `node libs/saga/make-schema.mjs` after a build. */
import { writeFileSync } from 'node:fs';
import { sagaDefinitionSchema } from './dist/definition-schema.js';

const file = new URL('schema/saga-definition.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(sagaDefinitionSchema(), null, 2)}\n`);
