// The script tag: its data- attributes are the options.

import { type Options, start } from "./index";

// Null in modules and once the script has run, so it is read at once.
const { dataset } = document.currentScript ?? {};
if (dataset) start({ ...dataset } as Options);
