export { AppConfig } from './app-config.js';
export { ConfigError, FromEnv, describeConfig, loadConfig, type ConfigVariable } from './load-config.js';
export { SecretReader, secretRef, type SecretRef } from './secret-refs.js';
export { YamlFile, httpUrl, record, shapeOf, type Shape } from './yaml-file.js';
