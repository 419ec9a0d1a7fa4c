/**
 * The policy engine. It is WebAssembly that answers with references to objects, and V8 before 13 (Node.js 20 and 22) ends the process, "Fatal
 * error: unreachable code", when the optimised code of a function is given up while such an answer is worked out, if the call was compiled into it.
 * So calls of WebAssembly are not compiled into their callers there. Nobody but this file imports the engine.
 */
import { setFlagsFromString } from 'node:v8';

if (Number.parseInt(process.versions.v8, 10) < 13) setFlagsFromString('--no-turbo-inline-js-wasm-calls');

export * from '@cedar-policy/cedar-wasm/nodejs';
