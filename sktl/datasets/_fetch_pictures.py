"""Public sets of pictures, for those who are online: paths, labels and what belongs to them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

from sktl.datasets._fetching import Archive, fetched

HYMENOPTERA = Archive(
    "https://download.pytorch.org/tutorial/hymenoptera_data.zip",
    "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
    "hymenoptera_data",
)
OMNIGLOT = {
    "background": Archive(
        "https://github.com/brendenlake/omniglot/raw/master/python/images_background.zip",
        "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
        "images_background",
    ),
    "evaluation": Archive(
        "https://github.com/brendenlake/omniglot/raw/master/python/images_evaluation.zip",
        "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
        "images_evaluation",
    ),
}
OFFICE31 = Archive(
    "https://drive.google.com/uc?id=0B4IapRTv9pJ1WGZVd1VDMmhwdlE&export=download&confirm=y",
    "",
    "domain_adaptation_images",
    name="domain_adaptation_images.tar.gz",
    older={"md5": "1b536d114869a5a8aa4580b89e9758fb", "sha1": "7aa25a86f3880b6e79283227816f9d4d8506d636"},
)
OFFICE31_DOMAINS = ("amazon", "dslr", "webcam")
FETCHED = {"data_home": [str, os.PathLike, None], "download_if_missing": ["boolean"]}


@validate_params(
    {"subset": [StrOptions({"train", "val", "all"})], **FETCHED},
    prefer_skip_nested_validation=True,
)
def fetch_hymenoptera(
    *, subset: str = "train", data_home: str | os.PathLike | None = None, download_if_missing: bool = True
) -> Bunch:
    """Fetch some 400 photographs of ants and bees, the set of PyTorch's tutorial on transfer learning.

    They come from https://download.pytorch.org/tutorial/hymenoptera_data.zip (47 MB, fetched once, its sha256 checked),
    and are of ImageNet, whose terms hold for them.

    Parameters
    ----------
    subset : {"train", "val", "all"}, default="train"
        The 244 pictures to train on, the 153 to validate on, or both.
    data_home : str or path-like, default=None
        Where it is kept, in a folder "hymenoptera"; None is scikit-learn's `sklearn.datasets.get_data_home`.
    download_if_missing : bool, default=True
        Whether it may be fetched; if not, and it is not there, an error says where to put the file.

    Returns
    -------
    Bunch
        ``data``: list of pathlib.Path, one a picture; ``target``: ndarray of shape (n_pictures,), "ants" or "bees";
        ``target_names``: list of the two; ``subset``: ndarray of shape (n_pictures,), "train" or "val"; ``DESCR``.

    Raises
    ------
    OSError
        If it cannot be fetched, or is another file than it was.

    See Also
    --------
    load_pictures : Pictures of your own.

    References
    ----------
    .. [1] J. Deng et al., "ImageNet: a large-scale hierarchical image database", CVPR, 2009.

    Examples
    --------
    >>> from sktl.datasets import fetch_hymenoptera
    >>> ants_and_bees = fetch_hymenoptera()  # doctest: +SKIP
    """
    folder = fetched(HYMENOPTERA, "hymenoptera", data_home, download_if_missing)
    parts = ["train", "val"] if subset == "all" else [subset]
    paths = [path for part in parts for path in sorted(folder.glob(f"{part}/*/*.jpg"))]  # a .gif there is no picture
    _check_found(paths, folder)
    return Bunch(
        data=paths,
        target=np.array([path.parent.name for path in paths]),
        target_names=sorted({path.parent.name for path in paths}),
        subset=np.array([path.parent.parent.name for path in paths]),
        DESCR=f"Photographs of ants and bees, from {HYMENOPTERA.url}",
    )


@validate_params(
    {"subset": [StrOptions({"background", "evaluation", "all"})], **FETCHED},
    prefer_skip_nested_validation=True,
)
def fetch_omniglot(
    *, subset: str = "background", data_home: str | os.PathLike | None = None, download_if_missing: bool = True
) -> Bunch:
    """Fetch Omniglot: 1,623 characters of 50 alphabets, each drawn by 20 people.

    They come from https://github.com/brendenlake/omniglot (9 and 6 MB, fetched once, the sha256 checked), under the MIT
    licence: black strokes on white, 105 x 105 pixels.

    Parameters
    ----------
    subset : {"background", "evaluation", "all"}, default="background"
        The 964 characters of 30 alphabets to learn from, the 659 of the other 20, or all.
    data_home : str or path-like, default=None
        Where it is kept, in a folder "omniglot"; None is scikit-learn's `sklearn.datasets.get_data_home`.
    download_if_missing : bool, default=True
        Whether it may be fetched; if not, and it is not there, an error says where to put the files.

    Returns
    -------
    Bunch
        ``data``: list of pathlib.Path, one a drawing; ``target``: ndarray of shape (n_drawings,), the character's name,
        as in "Greek/character01"; ``target_names``: list of them; ``alphabet``: ndarray of shape (n_drawings,), of use
        as ``sample_domain``; ``drawer``: ndarray of shape (n_drawings,), 1 to 20; ``DESCR``.

    Raises
    ------
    OSError
        If it cannot be fetched, or is another file than it was.

    See Also
    --------
    sktl.model_selection.EpisodeSplit : Episodes of it.

    References
    ----------
    .. [1] B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum, "Human-level concept learning through probabilistic program
       induction", Science 350, 2015.

    Examples
    --------
    >>> from sktl.datasets import fetch_omniglot
    >>> drawings = fetch_omniglot(subset="evaluation")  # doctest: +SKIP
    """
    parts = list(OMNIGLOT) if subset == "all" else [subset]
    folders = [fetched(OMNIGLOT[part], "omniglot", data_home, download_if_missing) for part in parts]
    paths = [path for folder in folders for path in sorted(folder.glob("*/*/*.png"))]
    _check_found(paths, folders[0])
    target = np.array([f"{path.parent.parent.name}/{path.parent.name}" for path in paths])
    return Bunch(
        data=paths,
        target=target,
        target_names=sorted(set(target.tolist())),
        alphabet=np.array([path.parent.parent.name for path in paths]),
        drawer=np.array([int(path.stem.rpartition("_")[2]) for path in paths]),
        DESCR="Omniglot, from https://github.com/brendenlake/omniglot",
    )


@validate_params(
    {"subset": [StrOptions({*OFFICE31_DOMAINS, "all"})], **FETCHED},
    prefer_skip_nested_validation=True,
)
def fetch_office31(
    *, subset: str = "all", data_home: str | os.PathLike | None = None, download_if_missing: bool = True
) -> Bunch:
    """Fetch Office-31: things of the office in 31 classes, from a shop's pages, a good camera and a poor one.

    4,110 photographs in three domains, the usual first test of domain adaptation. They are fetched once, from
    where https://faculty.cc.gatech.edu/~judy/domainadapt/ points to; no sha256 was published, so that md5 and sha1 are
    both checked. They are for research.

    Parameters
    ----------
    subset : {"amazon", "dslr", "webcam", "all"}, default="all"
        The 2,817 pictures of the shop, the 498 of the good camera, the 795 of the poor one, or all.
    data_home : str or path-like, default=None
        Where it is kept, in a folder "office31"; None is scikit-learn's `sklearn.datasets.get_data_home`.
    download_if_missing : bool, default=True
        Whether it may be fetched; if not, and it is not there, an error says where to put the file.

    Returns
    -------
    Bunch
        ``data``: list of pathlib.Path, one a picture; ``target``: ndarray of shape (n_pictures,), the class, as in
        "desk_lamp"; ``target_names``: list of them; ``domain``: ndarray of shape (n_pictures,), of use as
        ``sample_domain``; ``DESCR``.

    Raises
    ------
    OSError
        If it cannot be fetched, or is another file than it was.

    See Also
    --------
    sktl.DomainAdaptedClassifier : Learns labels in one domain for another.

    References
    ----------
    .. [1] K. Saenko, B. Kulis, M. Fritz and T. Darrell, "Adapting visual category models to new domains", ECCV, 2010.

    Examples
    --------
    >>> from sktl.datasets import fetch_office31
    >>> office = fetch_office31()  # doctest: +SKIP
    """
    folder = fetched(OFFICE31, "office31", data_home, download_if_missing)
    parts = OFFICE31_DOMAINS if subset == "all" else (subset,)
    paths = [path for part in parts for path in sorted(folder.glob(f"**/{part}/images/*/*.jpg"))]
    _check_found(paths, folder)
    return Bunch(
        data=paths,
        target=np.array([path.parent.name for path in paths]),
        target_names=sorted({path.parent.name for path in paths}),
        domain=np.array([path.parents[2].name for path in paths]),
        DESCR="Office-31, from https://faculty.cc.gatech.edu/~judy/domainadapt/",
    )


def _check_found(paths: list[Path], folder: Path) -> None:
    if not paths:
        raise OSError(f"{str(folder)!r} holds none of the pictures; delete it, and it is fetched again.")
