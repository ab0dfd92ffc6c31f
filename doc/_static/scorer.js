/* How the search ranks: what explains comes before what only mentions; a name that is searched for stays first. */
var Scorer = {
  score: ([docname, title, anchor, descr, score]) => {
    if (docname.startsWith("guide/") || docname === "choice" || docname === "recipes") return score + 8;
    if (docname === "changelog" || docname === "contributing" || docname === "reliability") return score - 10;
    return score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
