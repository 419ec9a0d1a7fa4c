export { ConfigError, FromEnv, describeConfig, loadConfig, type ConfigVariable } from './load-config.js';
