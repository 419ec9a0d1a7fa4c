/* eslint-disable @typescript-eslint/no-require-imports -- CommonJS: see below */
/**
 * A Backstage backend as anybody's is, from Backstage's own packages and unmodified. What a site adds to its backend, it adds here with
 * BACKSTAGE_FEATURES: folders of packages, separated by commas.
 *
 * CommonJS, so that NODE_PATH says where the packages are installed, which need not be beside this file.
 */
const { createBackend } = require('@backstage/backend-defaults');
const Module = require('node:module');
const { sep } = require('node:path');

const PLUGINS = ['auth', 'catalog', 'events', 'mcp-actions', 'notifications', 'signals'];
const features = (process.env.BACKSTAGE_FEATURES ?? '').split(',').filter(Boolean);

// Backstage's packages are the backend's own for an added package too, wherever that lies: what RHDH does for its dynamic plug-ins.
const resolveFilename = Module._resolveFilename;
Module._resolveFilename = (request, parent, ...rest) => {
  const isAdded = features.some((folder) => parent?.filename?.startsWith(folder + sep));
  return resolveFilename(request, isAdded && request.startsWith('@backstage/') ? module : parent, ...rest);
};

const backend = createBackend();
for (const plugin of PLUGINS) backend.add(require(`@backstage/plugin-${plugin}-backend`));
for (const folder of features) backend.add(require(folder));
void backend.start();
