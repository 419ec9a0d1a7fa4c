/** Letters of other scripts that are drawn like Latin ones, from the pairs that are used to disguise addresses and tokens. */
const PAIRS =
  'аa еe оo рp сc уy хx іi јj ѕs ԁd ԛq ԝw һh ӏl ɡg ɑa ıi АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ІI ЈJ ЅS ' +
  'αa οo νv ρp υu ιi κk τt ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ․. 。. ．. ∶: ／/ ⁄/ ∕/ ＠@ ﹫@';

export const LOOK_ALIKES: ReadonlyMap<number, string> = new Map(
  PAIRS.split(' ').map((pair) => {
    const [other, latin] = [...pair] as [string, string];
    return [other.codePointAt(0)!, latin];
  }),
);
