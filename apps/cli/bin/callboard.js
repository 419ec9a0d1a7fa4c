#!/usr/bin/env node
import { existsSync } from 'node:fs';

// A clone has no dist yet: say what to do instead of failing with a module that cannot be found.
const main = new URL('../dist/main.js', import.meta.url);
if (!existsSync(main)) {
  process.stderr.write('callboard is not built yet: run "npm run build" once (npm start does it for you).\n');
  process.exit(1);
}
await import(main.href);
