import manifest from '../package.json' with { type: 'json' };

/** The project's version: all its parts are released together. */
export const version: string = manifest.version;
