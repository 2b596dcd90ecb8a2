export { allKinds } from '../../src/validate.ts';
