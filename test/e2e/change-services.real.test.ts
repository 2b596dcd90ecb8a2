import { changeSuite } from './suites/change.ts';

changeSuite('services');
