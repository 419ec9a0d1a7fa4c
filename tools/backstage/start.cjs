/* eslint-disable @typescript-eslint/no-require-imports -- CommonJS: see below */
/**
 * A Backstage backend as anybody's is, from Backstage's own packages and unmodified: those that BACKSTAGE_PLUGINS
 * names. What a site adds to its backend, it adds here with BACKSTAGE_FEATURES: folders of packages. Both are separated by commas.
 *
 * CommonJS, so that NODE_PATH says where the packages are installed, which need not be beside this file.
 */
const { createBackend } = require('@backstage/backend-defaults');
const Module = require('node:module');
const { sep } = require('node:path');

const listed = (text) => (text ?? '').split(',').filter(Boolean);
const plugins = listed(process.env.BACKSTAGE_PLUGINS);
const features = listed(process.env.BACKSTAGE_FEATURES);

// Backstage's packages are the backend's own for an added package too, wherever that lies: what RHDH does for its dynamic plug-ins.
const resolveFilename = Module._resolveFilename;
Module._resolveFilename = (request, parent, ...rest) => {
  const isAdded = features.some((folder) => parent?.filename?.startsWith(folder + sep));
  return resolveFilename(request, isAdded && request.startsWith('@backstage/') ? module : parent, ...rest);
};

const backend = createBackend();
for (const plugin of plugins) backend.add(require(`@backstage/plugin-${plugin}`));
for (const folder of features) backend.add(require(folder));
void backend.start();
